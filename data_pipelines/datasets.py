"""The index of data sets: name, builder, splits, how to get it, licence."""

import dataclasses
import difflib
import importlib
import os
import pathlib
from collections.abc import Mapping

import tensorflow_datasets as tfds


class SourceError(ValueError):
  """What a data set is made from is missing or damaged."""


class UnknownDatasetError(ValueError):
  """No data set has this name."""


class NotPreparedError(FileNotFoundError):
  """A data set was asked for before it was prepared."""


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A row of the index.

  Attributes:
    name: also the name of the directory that holds it.
    builder: dotted path of the TFDS builder class, imported only to prepare.
    splits: those it can have; some depend on what was supplied.
    manual: whether the user supplies the files (`--manual_dir`).
    licence: of the data.
    options: switches of `prepare --option=NAME`, each with a line that explains it.
    kind: "formulas" or "captions": what its records hold (`builders/formulas.py`, `captions.py`).
  """

  name: str
  builder: str
  splits: tuple[str, ...]
  manual: bool
  licence: str
  options: Mapping[str, str] = dataclasses.field(default_factory=dict)
  kind: str = "formulas"

  @property
  def prepare_command(self) -> str:
    manual = " --manual_dir=DIRECTORY_WITH_THE_FILES" if self.manual else ""
    return f"python -m data_pipelines.prepare {self.name}{manual}"

  def builder_class(self) -> type[tfds.core.GeneratorBasedBuilder]:
    module, name = self.builder.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


DATASETS = {
    d.name: d
    for d in (
        Dataset(
            name="ai_challenger_caption",
            builder="data_pipelines.builders.ai_challenger_caption"
            ".ai_challenger_caption_dataset_builder.AiChallengerCaption",
            splits=("train", "validation", "test_a", "test_b"),
            manual=True,
            licence="research, given to registered competitors",
            kind="captions",
        ),
        Dataset(
            name="coco_captions",
            builder="data_pipelines.builders.coco_captions.coco_captions_dataset_builder"
            ".CocoCaptions",
            splits=("train", "restval", "validation", "test"),
            manual=True,
            licence="annotations CC BY 4.0, photographs as at Flickr",
            kind="captions",
        ),
        Dataset(
            name="crohme",
            builder="data_pipelines.builders.crohme.crohme_dataset_builder.Crohme",
            splits=("train", "validation", "test_2014", "test_2016", "test_2019"),
            manual=True,
            licence="CC BY-NC-SA 3.0",
        ),
        Dataset(
            name="crohme_composed",
            builder="data_pipelines.builders.crohme_composed.crohme_composed_dataset_builder"
            ".CrohmeComposed",
            splits=("train", "composed", "validation", "test_2014", "test_2016", "test_2019"),
            manual=True,
            licence="CC BY-NC-SA 3.0, as derived from CROHME",
        ),
        Dataset(
            name="im2latex100k",
            builder="data_pipelines.builders.im2latex100k.im2latex100k_dataset_builder.Im2latex100k",
            splits=("train", "validation", "test"),
            manual=True,
            licence="not stated by its publisher",
            options={"render": "draw formulas without a picture by TeX (latex, dvipng)"},
        ),
        Dataset(
            name="hme100k",
            builder="data_pipelines.builders.hme100k.hme100k_dataset_builder.Hme100k",
            splits=("train", "validation", "test"),
            manual=True,
            licence="research, by registration",
        ),
        Dataset(
            name="fine_cap_eval",
            builder="data_pipelines.builders.fine_cap_eval.fine_cap_eval_dataset_builder"
            ".FineCapEval",
            splits=("test",),
            manual=True,
            licence="not stated by its publisher",
            kind="captions",
        ),
        Dataset(
            name="flickr8k",
            builder="data_pipelines.builders.flickr8k.flickr8k_dataset_builder.Flickr8k",
            splits=("train", "validation", "test"),
            manual=True,
            licence="research, not for commercial use",
            kind="captions",
        ),
        Dataset(
            name="folder_captions",
            builder="data_pipelines.builders.folder.folder_dataset_builder.FolderCaptions",
            splits=("train", "validation", "test"),
            manual=True,
            licence="the user's own",
            kind="captions",
        ),
        Dataset(
            name="folder_formulas",
            builder="data_pipelines.builders.folder.folder_dataset_builder.FolderFormulas",
            splits=("train", "validation", "test"),
            manual=True,
            licence="the user's own",
        ),
        Dataset(
            name="synthetic",
            builder="data_pipelines.builders.synthetic.synthetic_dataset_builder.Synthetic",
            splits=("train", "validation", "test"),
            manual=False,
            licence="generated here: no restriction",
        ),
    )
}


def default_data_dir() -> pathlib.Path:
  """`$TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
  return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def find(name: str) -> Dataset:
  """The row of `name`.

  Raises:
    UnknownDatasetError: no such row; names the known ones.
  """
  if name not in DATASETS:
    near = difflib.get_close_matches(name, DATASETS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UnknownDatasetError(f"no data set {name!r}: there are {', '.join(DATASETS)}{hint}")
  return DATASETS[name]


def load(name: str, data_dir: str | os.PathLike | None = None) -> tfds.core.DatasetBuilder:
  """The prepared data set `name`, read from `data_dir` (None: `default_data_dir()`).

  Raises:
    UnknownDatasetError: no such data set.
    NotPreparedError: it is not in `data_dir`; gives the command that prepares it.
  """
  row = find(name)
  root = pathlib.Path(data_dir or default_data_dir()).expanduser()
  versions = [p.parent for p in (root / name).glob("*/dataset_info.json")]
  versions = sorted(tfds.core.Version(p.name) for p in versions if _is_version(p.name))
  if not versions:
    flag = "" if data_dir is None else f" --data_dir={root}"
    raise NotPreparedError(f"{name} is not prepared in {root}: run\n  {row.prepare_command}{flag}")
  return tfds.builder_from_directory(root / name / str(versions[-1]))


def _is_version(name: str) -> bool:
  try:
    tfds.core.Version(name)
  except ValueError:
    return False
  return True
