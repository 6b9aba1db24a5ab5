r"""All stages of captions without pairs, in turn; run again, it goes on where it stopped.

  python -m mmjax.chain --workdir=W --corpus=SENTENCES --concepts=DETECTIONS [--language=zh] \
      [--set data.dir=DIR] [--set full.train.epochs=100]

SENTENCES: see mmjax/text/corpus.py; DETECTIONS: see mmjax/text/concepts.py. Each stage has its
folder W/STAGE, which --mode=evaluate of mmjax.main scores; --set changes a key of the config of all
stages that have it, or with the name of a stage before it, of that one.

  concept_to_sentence   sentences from their shuffled concepts
  pseudo_captions       W/pseudo_captions.jsonl: a sentence for the concepts of each picture
  feature_to_sentence   generator: pictures and those sentences
  sentence_autoencoder  sentences from corrupted copies
  sentence_gan          discriminator: sentences of a generator that begins with noise
  full                  both in turn, with all rewards

Exit codes: 0 done; 1 failed; 2 wrong usage; 75 stopped by a signal, run it again to go on.
"""

import argparse
import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from mmjax import api
from mmjax import config as configs
from mmjax.config import ConfigError
from mmjax.text.concepts import ConceptError

STAGES = {  # whose generator and discriminator a stage begins with
    "concept_to_sentence": {},
    "feature_to_sentence": {"generator": "concept_to_sentence"},
    "sentence_autoencoder": {},
    "sentence_gan": {"generator": "sentence_autoencoder", "discriminator": "sentence_autoencoder"},
    "full": {"generator": "feature_to_sentence", "discriminator": "sentence_gan"},
}  # fmt: skip
CAPTIONS = "pseudo_captions.jsonl"
DONE = "stage.json"  # in the folder of a stage that is over: its last scores


def stage_configs(
    folder: Path, language: str, settings: dict[str, object], changes: Sequence[str]
) -> dict[str, ConfigDict]:
  """The config of each stage.

  Args:
    folder: has STAGE.py for each of `STAGES`.
    settings: keys of all stages.
    changes: KEY=VALUE or STAGE.KEY=VALUE.

  Raises:
    ConfigError: a config cannot be used, or nothing has a key.
  """
  made = {name: configs.load(f"{folder / name}.py:{language}") for name in STAGES}
  for name in made:
    made[name] = configs.override(made[name], settings)
  for change in changes:
    key, equals, value = change.partition("=")
    stage, _, rest = key.partition(".")
    names, key = ([stage], rest) if stage in STAGES else (list(STAGES), key)
    having = [name for name in names if configs.unknown_key(made[name], key) is None]
    if not equals or not having:
      raise ConfigError(f"--set {change}: {configs.unknown_key(made[names[0]], key)}; give"
                        " KEY=VALUE or STAGE.KEY=VALUE")  # fmt: skip
    for name in having:
      made[name] = configs.override(made[name], {key: _value(value)})
  return made


def run(made: dict[str, ConfigDict], workdir: Path, concepts: Path) -> None:
  """Trains each stage that is not over.

  Raises:
    What `api.train` and `pseudo_captions.write` raise.
  """
  from mmjax.infer import pseudo_captions

  for name, begins in STAGES.items():
    here = workdir / name
    found: dict[str, object] = {f"players_from.{k}": str(workdir / v) for k, v in begins.items()}
    if "captions" in made[name].data:
      found["data.captions"] = str(workdir / CAPTIONS)
      if not (workdir / CAPTIONS).exists():
        count = pseudo_captions.write(workdir / "concept_to_sentence", concepts, workdir / CAPTIONS)
        print(f"pseudo_captions: {count} captions in {workdir / CAPTIONS}", file=sys.stderr)
    config = configs.override(made[name], found)
    if (here / DONE).exists():
      configs.check_same_run(json.loads((here / "run.json").read_text())["config"], config, here)
      print(f"{name}: done", file=sys.stderr)
      continue
    print(f"{name}: in {here}", file=sys.stderr)
    scores = api.train(config, here)
    (here / DONE).write_text(json.dumps(scores, indent=1) + "\n")


def _value(text: str) -> object:
  try:
    return ast.literal_eval(text)
  except (SyntaxError, ValueError):
    return text


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; the exit code."""
  parser = argparse.ArgumentParser(
      "python -m mmjax.chain", description=__doc__, allow_abbrev=False,
      formatter_class=argparse.RawDescriptionHelpFormatter,
  )  # fmt: skip
  add = parser.add_argument
  add("--workdir", type=Path, required=True, metavar="FOLDER", help="of the stages")
  add("--corpus", required=True, metavar="FILE", help="sentences")
  add("--concepts", required=True, metavar="FILE", help="detections in the pictures")
  add("--language", default="en", choices=("en", "zh"), help="default %(default)s")
  add("--configs", type=Path, default=Path("configs/flickr8k/unsupervised"), metavar="FOLDER",
      help="of the stages' configs; default %(default)s")  # fmt: skip
  add("--set", action="append", default=[], metavar="KEY=VALUE", help="may be given again")
  o = parser.parse_args(arguments)
  try:
    settings = {"data.corpus": o.corpus, "data.concepts": o.concepts}
    made = stage_configs(o.configs, o.language, settings, o.set)
    api.set_up(made["full"])
    run(made, o.workdir, Path(o.concepts))
  except api.Preempted as e:
    print(e, file=sys.stderr)
    return api.PREEMPTED
  except KeyboardInterrupt:
    print("\ninterrupted; the same command goes on from the last checkpoint", file=sys.stderr)
    return 130
  except (ConfigError, ConceptError) as e:
    print(f"error: {e}", file=sys.stderr)
    return 2
  except api.ERRORS as e:
    print(f"error: {e}", file=sys.stderr)
    return 1
  return 0


if __name__ == "__main__":
  sys.exit(main())
