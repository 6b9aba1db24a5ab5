"""Trains on all devices of this process, then puts the saved state on other meshes.

  python on_devices.py CONFIG WORKDIR

Prints a line of JSON: how the restored states are spread.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from mmjax import api, experiment, sharding, splits, train_state
from mmjax.checkpoint import Checkpoints


def shards(state) -> list[int]:
  """Shape of one device's part of a [16, 32] kernel, and the number of devices that hold it."""
  kernel = state.params["decoder_0"]["linear1"]["kernel"]
  return [*kernel.addressable_shards[0].data.shape, len(kernel.sharding.device_set)]


def main(config_file: str, workdir: str) -> None:
  config = api.load_config(config_file, **{"train.epochs": 1, "mesh.data": 4, "mesh.fsdp": 2})
  api.set_up(config)
  api.train(config, workdir)
  words = splits.vocabulary_of(config, splits.open_dataset(config))
  task, rates = experiment.make_task(config, words), experiment.make_rates(config, 6)
  report = {}
  for axes in ((2, 2), (1, 1)):
    devices = np.array(jax.devices()[: axes[0] * axes[1]]).reshape(*axes, 1)
    mesh = Mesh(devices, sharding.AXES, axis_types=(AxisType.Auto,) * 3)
    state, _ = train_state.create(task, rates, mesh, seed=1)
    restored, step = Checkpoints(pathlib.Path(workdir)).restore(state)
    Checkpoints(pathlib.Path(f"{workdir}.{axes[0]}x{axes[1]}")).save(step, restored, {})
    report[f"{axes[0]}x{axes[1]}"] = [shards(state), shards(restored)]
  print(json.dumps(report))


if __name__ == "__main__":
  main(*sys.argv[1:])
