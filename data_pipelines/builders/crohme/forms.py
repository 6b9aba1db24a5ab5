"""The forms in which CROHME is handed on, and where each of them lies."""

import dataclasses
import pathlib
from typing import Literal

Kind = Literal["zip", "pickle", "pictures", "inkml"]

# What the competition's packages call the folders of InkML that make up ours.
INKML_FOLDERS = {
    "train": ("TrainINKML", "Train_2014"),
    "2014": ("TestEM2014GT", "TestEM2014"),
    "2016": ("TEST2016_INKML_GT", "Test2016_INKML_GT"),
    "2019": ("TestEM2019GT", "Test2019_INKML_GT"),
}
# Flat names: WAP's (its test set is 2014), then SAN's and CAN's.
_FLAT = {
    "train": (("offline-train.pkl", "train_caption.txt"), ("train_images.pkl", "train_labels.txt")),
    "2014": (
        ("offline-test.pkl", "test_caption.txt"),
        ("14_test_images.pkl", "14_test_labels.txt"),
    ),
    "2016": (("16_test_images.pkl", "16_test_labels.txt"),),
    "2019": (("19_test_images.pkl", "19_test_labels.txt"),),
}


@dataclasses.dataclass(frozen=True)
class Form:
  """Of one folder's records: the kind, and paths within the manual directory.

  Attributes:
    kind: `zip` (PNG as they are stored), `pickle`, `pictures` (a folder of BMP or PNG files) or
      `inkml` (a folder of InkML files).
    pictures: archive, file or folder.
    captions: file; "" where the truth of InkML files is the caption.
  """

  kind: Kind
  pictures: str
  captions: str = ""


def find_form(directory: pathlib.Path, folder: str) -> Form | None:
  """The first form of a folder (`train`, `2014`, ...) that is there; None if there is nothing."""
  captions = next(
      (c for c in ("captions.txt", "caption.txt") if (directory / folder / c).exists()),
      "captions.txt",
  )
  choices: list[tuple[Kind, str, str]] = [("zip", f"{folder}/images.zip", f"{folder}/{captions}")]
  choices += [("pickle", f"{folder}/{p}.pkl", f"{folder}/{captions}") for p in ("images", "img")]
  choices += [("pictures", f"{folder}/{p}", f"{folder}/{captions}") for p in ("images", "img")]
  choices += [("pickle", *names) for names in _FLAT[folder]]
  for kind, pictures, text in choices:
    if (directory / pictures).exists():
      return Form(kind, pictures, text)
  for place in _inkml_places(directory, folder):
    if any(place.rglob("*.inkml")):
      own = f"{folder}/{captions}"
      own = own if (directory / own).exists() else ""
      return Form("inkml", str(place.relative_to(directory)), own)
  return Form("zip", *choices[0][1:]) if (directory / folder).exists() else None


def _inkml_places(directory: pathlib.Path, folder: str) -> list[pathlib.Path]:
  named = [directory / folder]
  for name in INKML_FOLDERS[folder]:
    named += sorted(p for p in directory.rglob(name) if p.is_dir())
  return [p for p in named if p.is_dir()]
