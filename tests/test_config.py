import pytest
from ml_collections import ConfigDict

from configs.crohme import bttr
from mmjax import config as configs
from mmjax.config import ConfigError


@pytest.fixture
def config():
  return bttr.get_config().lock()


def test_load_takes_an_argument_and_locks(tmp_path):
  path = tmp_path / "one.py"
  path.write_text(
      "from ml_collections import ConfigDict\n"
      "def get_config(a='4'): return ConfigDict({'n': int(a)})"
  )
  assert configs.load(str(path)).n == 4
  config = configs.load(f"{path}:7")
  assert config.n == 7 and config.is_locked


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "no function get_config"),
        ("def get_config(): return 1 / 0", "fails in line 1: ZeroDivisionError"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit('usage')", "SystemExit: usage"),
        ("def get_config(: pass", "SyntaxError"),
    ],
)
def test_load_says_what_is_wrong_with_a_file(tmp_path, text, message):
  path = tmp_path / "bad.py"
  path.write_text(text)
  with pytest.raises(ConfigError, match=message) as caught:
    configs.load(str(path))
  assert str(path) in str(caught.value)


def test_load_names_files_like_a_missing_one(monkeypatch):
  monkeypatch.chdir(configs.Path(configs.__file__).parents[1])
  with pytest.raises(ConfigError, match=r"configs/crohme/btr\.py; did you mean .*crohme/bttr\.py"):
    configs.load("configs/crohme/btr.py")
  with pytest.raises(ConfigError, match="no config file LICENSE"):
    configs.load("LICENSE-not-there")
  with pytest.raises(ConfigError, match="no Python file"):
    configs.load("LICENSE")


def test_unknown_keys_name_their_neighbours(config):
  assert configs.unknown_key(config, "optim.lr") is None
  assert "nearest: optim.lr" in configs.unknown_key(config, "optim.lrr")
  assert "decode.beam" in configs.unknown_key(config, "beam")  # right name, group forgotten
  assert "nearest" in configs.unknown_key(config, "zzz")
  group = configs.unknown_key(config, "mesh")
  assert "group" in group and "mesh.data, mesh.fsdp, mesh.model" in group


def test_override_changes_a_copy(config):
  changed = configs.override(config, {"optim.lr": 2, "data.high": [64, 128], "model.width": 32})
  assert changed.optim.lr == 2.0 and isinstance(changed.optim.lr, float)
  assert changed.data.high == (64, 128) and changed.model.width == 32 and changed.is_locked
  assert config.optim.lr == 1.0 and config.model.width == 256


@pytest.mark.parametrize(
    ("key", "value"),
    [("train.epochs", "abc"), ("train.epochs", 2.5), ("data.high", 3), ("data.in_memory", 1)],
)
def test_override_refuses_other_types(config, key, value):
  with pytest.raises(ConfigError, match=rf"config\.{key} = {value!r}"):
    configs.override(config, {key: value})


def test_override_refuses_unknown_keys(config):
  with pytest.raises(ConfigError, match=r"nearest: optim\.lr"):
    configs.override(config, {"optim.lrr": 1.0})


def test_stored_and_read_back_is_the_same(config):
  again = configs.from_dict(configs.to_dict(config))
  assert configs.flatten(again) == configs.flatten(config) and again.is_locked
  assert isinstance(again.data.high, tuple) and isinstance(again.model.encoder_layers, tuple)
  nested = ConfigDict({"a": ((1, 2), (3.0, 4)), "b": {"c": ()}})
  assert configs.from_dict(configs.to_dict(nested)).a == ((1, 2), (3.0, 4))
  assert configs.from_dict(configs.to_dict(nested)).b.c == ()


def test_a_run_goes_on_only_with_its_own_settings(config, tmp_path):
  stored = configs.to_dict(config)
  free = {"decode.beam": 3, "mesh.data": 1, "data.dir": "x", "log.every_steps": 1, "optim.lr": 0.1}
  configs.check_same_run(stored, configs.override(config, free), tmp_path)
  other = configs.override(config, {"model.width": 32, "data.scale": 0.5, "decode.beam": 3})
  with pytest.raises(ConfigError) as caught:
    configs.check_same_run(stored, other, tmp_path)
  message = str(caught.value)
  assert "model.width: 256 there, 32 now" in message and "data.scale: 1.0 there, 0.5 now" in message
  assert "beam" not in message and str(tmp_path) in message and "use another --workdir" in message

  scaled = configs.override(config, {"data.scale": 0.5})
  configs.check_same_run(stored, scaled, tmp_path, ("model",))
  with pytest.raises(ConfigError, match=r"model\.width"):
    configs.check_same_run(stored, other, tmp_path, ("model",))

  del stored["model"]["growth"]
  with pytest.raises(ConfigError, match=r"model\.growth: 'absent' there, 24 now"):
    configs.check_same_run(stored, config, tmp_path)
