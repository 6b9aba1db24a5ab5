r"""Writes what a run with a model of the Hugging Face hub has learnt as a folder of the hub.

  python -m mmjax.convert.hub.export --workdir=W --output=FOLDER

FOLDER then has config.json, model.safetensors, and the generation settings, tokenizer and picture
processor that the run began with; transformers and `--config.init_from=FOLDER` read it.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mmjax.convert import hub
from mmjax.convert.hub.folder import WEIGHTS, HubError


def write(described: hub.Hub, variables: Any, output: Path) -> None:
  """Writes a folder; arrays in the type that its `config.json` names (float32 where it does not).

  Raises:
    HubError: there are weights in `output` already.
  """
  import ml_dtypes  # noqa: F401  (NumPy then knows bfloat16)
  from safetensors.numpy import save_file

  if (output / WEIGHTS).exists():
    raise HubError(f"{output / WEIGHTS} is there already: give another --output")
  kind = described.config.get("dtype") or described.config.get("torch_dtype") or "float32"
  state = {
      name: np.ascontiguousarray(array, np.dtype(kind)).reshape(array.shape)
      for name, array in hub.to_state(described, jax.device_get(variables)).items()
  }
  hub.keep(described.folder, output)
  # The mark that transformers asks for: names and layouts are those of PyTorch's modules.
  save_file(state, output / WEIGHTS, metadata={"format": "pt"})


def export(workdir: Path, output: Path, step: int | None = None) -> int:
  """Writes the best (or the given) checkpoint of a run; its step.

  Raises:
    CheckpointError: nothing trained there.
    HubError: the run's model is not one of the hub, or `output` has weights already.
  """
  from mmjax import evaluate, experiment, pretrained
  from mmjax.checkpoint import CheckpointError, read_run
  from mmjax.config import from_dict

  run = read_run(workdir)
  if run is None:
    raise CheckpointError(f"{workdir} holds no run; check --workdir")
  config = from_dict(run["config"])
  if not pretrained.chosen(config):
    raise HubError(
        f"{workdir} has the model {config.model.name!r}; only models that came from a folder of the"
        " hub (configs/hub.py) can be written as one"
    )
  _, variables, words, at = evaluate.load_trained(
      config, workdir, step, experiment.make_mesh(config)
  )
  write(hub.read(words.folder), variables, output)
  return at


def main(argv: list[str] | None = None) -> int:
  from mmjax.checkpoint import CheckpointError
  from mmjax.config import ConfigError

  usage = argparse.ArgumentParser("python -m mmjax.convert.hub.export", description=__doc__,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
  usage.add_argument("--workdir", required=True, type=Path, help="of the run")
  usage.add_argument("--output", required=True, type=Path, help="the folder to write")
  usage.add_argument("--checkpoint", type=int, help="step; default the best by validation")
  options = usage.parse_args(argv)
  try:
    step = export(options.workdir, options.output, options.checkpoint)
  except (CheckpointError, ConfigError, HubError, OSError) as e:
    print(f"error: {e}", file=sys.stderr)
    return 1
  print(f"step {step} of {options.workdir} is in {options.output}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
