"""Settings of JAX before it starts, the shared folder, and a small data set that tests train on."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parent.parent
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "xla"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# Tests prove numbers, not speed: half the time to compile, and child processes inherit it.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "data_pipelines")]  # configs; small data sets

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("mmjax", deadline=None, derandomize=True)
settings.load_profile("mmjax")


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """Reference data and golden numbers; a user's machine has none of it."""
  folder = pathlib.Path(os.environ.get("MMJAX_SHARED", ROOT.parent / "shared"))
  if not (folder / "golden").is_dir():
    pytest.skip(f"no reference data at {folder}; set MMJAX_SHARED to the folder that has it")
  return folder


@pytest.fixture(scope="session")
def formulas(tmp_path_factory) -> pathlib.Path:
  """A data directory with the data set `synthetic`: 48 train, 16 validation, 16 test pictures."""
  from data_pipelines.builders.synthetic.synthetic_dataset_builder import Synthetic

  folder = tmp_path_factory.mktemp("formulas")
  builder = Synthetic(data_dir=folder, file_format="array_record", **SMALL)
  builder.download_and_prepare()
  return folder


SMALL = {"train": 48, "validation": 16, "test": 16}


@pytest.fixture(scope="session")
def tiny_config(formulas):
  """BTTR at its smallest on `formulas`; some of the formulas are over its limit of tokens."""
  from configs.crohme import bttr
  from configs.tiny import tiny

  config = tiny(bttr.get_config())
  config.data.name = "synthetic"
  config.data.dir = str(formulas)
  config.data.max_tokens = 10
  return config.lock()


@pytest.fixture(scope="session")
def trained(tiny_config, tmp_path_factory) -> pathlib.Path:
  """The workdir of a finished run of `tiny_config`; copy it to change it."""
  from mmjax import api

  workdir = tmp_path_factory.mktemp("trained") / "run"
  api.train(tiny_config, workdir)
  return workdir
