import pytest

from configs import base
from mmjax import config as configs
from mmjax import experiment
from mmjax.decode.options import DecodeOptions
from mmjax.text.vocabulary import Vocabulary


def test_the_base_config_has_every_key_and_the_defaults():
  assert DecodeOptions(**base.get_config().decode) == DecodeOptions()
  assert set(base.get_config().decode) == set(DecodeOptions.__dataclass_fields__)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalise": "all"}, "decode.normalise is 'all'; there are: sum, each"),
        ({"strategy": "greedy"}, "decode.strategy is 'greedy'; there are: beam, diverse, sample"),
        ({"beam": 0}, "decode.beam is 0; use 1 or more"),
        ({"temperature": -1.0}, "decode.temperature is -1.0; use 0 or more"),
        ({"top_p": 0.0}, "decode.top_p is 0.0; it is a share"),
        ({"min_length": 300}, "decode.min_length is 300; decode.max_length is 200"),
        ({"groups": 2}, "decode.groups is 2; only decode.strategy"),
        ({"strategy": "diverse", "groups": 3}, "decode.groups is 3; decode.beam is 10"),
        ({"strategy": "diverse", "normalise": "each"}, "decode.normalise is 'each'"),
    ],
)
def test_what_is_wrong_is_named(changes, message):
  with pytest.raises(ValueError, match=message):
    DecodeOptions(**changes)


def test_a_run_made_before_a_key_was_there_decodes_as_ever():
  config = base.get_config()
  config.task, config.model = "recognition", {"name": "can"}
  config.decode = {"beam": 3, "max_length": 20, "length_penalty": 0.5, "normalise": "sum"}
  task = experiment.make_task(config, Vocabulary(("x",)))
  assert task.decode == DecodeOptions(beam=3, max_length=20, length_penalty=0.5)
  config.decode = {"beam": 0}
  with pytest.raises(configs.ConfigError, match=r"config\.decode\.beam is 0"):
    experiment.make_task(config, Vocabulary(("x",)))
