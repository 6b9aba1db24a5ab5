r"""Compares a model with the outputs of its reference network.

  python -m mmjax.convert.parity --kind=bttr FILE.npz
  python -m mmjax.convert.parity --hub=FOLDER

FILE holds `hparams` (JSON), `state/<name>` weights, `in/<name>` inputs and `out/<name>` outputs.
FOLDER is one of the Hugging Face hub, compared layer by layer with the transformers package.
Prints a line for every output and exits with 1 if any differs.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from mmjax import convert
from mmjax.convert.arrays import read_arrays
from mmjax.convert.state_dict import WeightsError

# Kinds of recorded files that are not called as the model is.
MODELS = {
    "clip_reward": "clip_reward_captioner",
    "wap_densenet_attention": "dense_attention",
}
TOLERANCE, SCORE_TOLERANCE = 1e-4, 1e-3  # largest differences in float32: values, search scores
RELATIVE = 1e-5  # of the largest value, where that is more


class Check(NamedTuple):
  """One output against its reference."""

  name: str
  shape: tuple[int, ...]
  difference: float
  agrees: bool


def compare(name: str, ours, reference, tolerance: float = TOLERANCE) -> Check:
  """Largest difference; whole numbers and truth values must be equal."""
  ours, reference = np.asarray(ours), np.asarray(reference)
  if ours.shape != reference.shape:
    return Check(f"{name} (ours {ours.shape})", reference.shape, float("nan"), False)
  wide = lambda x: x.astype(np.float64)
  difference = float(np.abs(wide(ours) - wide(reference)).max(initial=0))
  exact = reference.dtype.kind in "iub"
  return Check(name, reference.shape, difference, difference <= (0 if exact else tolerance))


def run(kind: str, path: Path) -> list[Check]:
  """Every check of a file.

  Raises:
    WeightsError: the file or the kind is not known, or lacks something.
  """
  arrays = read_arrays(path)
  if "hparams" not in arrays:
    raise WeightsError(f"{path} has no hparams: not a file of recorded outputs")
  state = {k[len("state/") :]: v for k, v in arrays.items() if k.startswith("state/")}
  try:
    sizes = json.loads(str(arrays["hparams"]))
  except json.JSONDecodeError as e:
    raise WeightsError(f"{path}: hparams is not JSON ({e})") from e
  module = convert.converter(MODELS.get(kind, kind))
  if not hasattr(module, "checks"):
    raise WeightsError(f"no parity checks for the kind {kind!r}")
  with jax.default_matmul_precision("float32"):
    try:
      return list(module.checks(sizes, state, arrays))
    except KeyError as e:
      raise WeightsError(f"{path} is not a file of kind {kind!r}: it lacks {e}") from e


def run_hub(folder: Path) -> list[Check]:
  """Every check of a folder of the hub, against the transformers package.

  Raises:
    WeightsError: the folder cannot be read, or the package is not installed.
  """
  from mmjax.convert.hub.parity import outputs

  with jax.default_matmul_precision("float32"):
    checks = []
    for name, ours, theirs in outputs(folder):
      # Between layers values may be large; float32 keeps seven digits of them.
      largest = float(np.abs(theirs).max(initial=0))
      checks.append(compare(name, ours, theirs, max(TOLERANCE, RELATIVE * largest)))
    return checks


def table(checks: Iterable[Check]) -> str:
  """The checks as lines: output, shape, largest difference, verdict."""
  rows = [("output", "shape", "largest difference", "")]
  for c in checks:
    verdict = "agrees" if c.agrees else "DIFFERS"
    rows.append((c.name, "x".join(map(str, c.shape)) or "scalar", f"{c.difference:.2e}", verdict))
  widths = [max(len(r[i]) for r in rows) for i in range(4)]
  return "\n".join("  ".join(x.ljust(w) for x, w in zip(r, widths)).rstrip() for r in rows)


def main(argv: list[str] | None = None) -> int:
  usage = argparse.ArgumentParser("python -m mmjax.convert.parity", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  usage.add_argument("--kind", help="the model: bttr, comer, can, wap_densenet_attention, san,"
                     " clip, show_attend_tell, caption_transformer, clip_reward,"
                     " vision_encoder_decoder, blip, git")  # fmt: skip
  usage.add_argument("--hub", type=Path, metavar="FOLDER", help="a folder of the hub")
  usage.add_argument("file", type=Path, nargs="?")
  options = usage.parse_args(argv)
  if bool(options.hub) == bool(options.kind and options.file):
    usage.error("give --kind and a file, or --hub")
  try:
    checks = run_hub(options.hub) if options.hub else run(options.kind, options.file)
  except WeightsError as e:
    print(f"error: {e}", file=sys.stderr)
    return 1
  print(table(checks))
  return 0 if checks and all(c.agrees for c in checks) else 1


if __name__ == "__main__":
  sys.exit(main())
