"""The config of a workdir as a config file: `mmjax/stored.py:WORKDIR`."""

from ml_collections import ConfigDict

from mmjax import api
from mmjax.checkpoint import CheckpointError
from mmjax.config import ConfigError


def get_config(workdir: str) -> ConfigDict:
  try:
    return api.stored_config(workdir)
  except CheckpointError as e:
    raise ConfigError(str(e)) from e
