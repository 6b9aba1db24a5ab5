"""Pix2Struct's patches against those of the library's processor, and a folder that predicts."""

import shutil

import numpy as np
import pytest

from configs import hub as hub_config
from mmjax import api, pretrained
from mmjax import config as configs
from mmjax.config import ConfigError
from mmjax.convert import hub, hub_models
from mmjax.convert.hub.folder import HubError
from mmjax.convert.hub.preprocessing import from_dict
from mmjax.convert.state_dict import WeightsError
from tests.convert import hub_cases, made_hub
from tests.convert.test_hub_preprocessing import SIZES, picture

KIND = {"image_processor_type": "Pix2StructImageProcessor"}
SMALL = KIND | {"max_patches": 20, "patch_size": {"height": 4, "width": 6}}
# Of `Pix2StructImageProcessorPil` (transformers 5.24.0) on pictures of SIZES: the last row and
# column, and the means of the numbers after the two, alone and times their place.
RECORDED = [
    (SMALL, [
        (4, 4, 0.00114, -1.2955),
        (10, 1, -0.00057, -0.2806),
        (5, 3, 1e-05, -0.3289),
        (1, 11, -0.00777, -4.4907),
        (5, 3, -0.00266, -1.5382),
        (5, 3, 0.0006, -0.1394),
    ]),
    (KIND | {"max_patches": 64}, [
        (6, 9, -0.00031, -12.4194),
        (15, 4, 4e-05, 5.9784),
        (8, 8, -0.0, -19.3704),
        (2, 24, 0.00117, -52.4023),
        (8, 7, -8e-05, -9.4013),
        (8, 7, -0.00013, -16.0685),
    ]),
]


def numbers(sheet, depth):
  """What the model reads off a sheet of bytes."""
  config = hub_cases.CASES["pix2struct"]
  vision = config["vision_config"] | {"patch_embed_hidden_size": depth, "seq_len": 99}
  said = {"max_patches": len(sheet)}
  model = hub_models.from_config(config | {"vision_config": vision}, said)
  assert model.encoder.image_size == sheet.shape[:2]
  return np.asarray(model.apply({}, sheet[None], method="standardised"))[0]


@pytest.mark.parametrize("settings, theirs", RECORDED)
def test_patches_are_those_of_the_library(settings, theirs):
  p = from_dict(settings)
  depth = 3 * p.patch[0] * p.patch[1]
  for size, (rows, columns, mean, moment) in zip(SIZES, theirs, strict=True):
    sheet = p.picture(picture(*size))
    assert sheet.dtype == np.uint8 and sheet.shape == (*p.canvas, 3)
    found = numbers(sheet, depth)
    assert found.shape == (settings["max_patches"], 2 + depth)
    assert found[:, :2].max(0).tolist() == [rows, columns]
    assert (found[:, 0] > 0).sum() == rows * columns
    patches = found[:, 2:]
    assert patches.mean() == pytest.approx(mean, abs=2e-5)
    assert (patches * np.arange(depth)).mean() == pytest.approx(moment, abs=1e-3)


def test_pictures_of_one_colour_stay_finite():
  plain = from_dict(SMALL).picture(np.full((9, 9, 3), 7, np.uint8))
  assert (numbers(plain, 72)[:, 2:] == 0).all()


def config_for(vocabulary_size):
  config = hub_cases.CASES["pix2struct"]
  text = config["text_config"] | {"vocab_size": vocabulary_size, "pad_token_id": 1}
  vision = config["vision_config"] | {"patch_embed_hidden_size": 72, "seq_len": 32}
  return {**config, "text_config": text, "vision_config": vision}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return made_hub.make_folder(tmp_path_factory.mktemp("hub") / "patches", config_for, SMALL)


def test_a_folder_predicts(folder, tmp_path):
  """What the pipeline finds is what the model and its search find on the processor's patches."""
  config = configs.override(hub_config.get_config().lock(), {"init_from": str(folder)})
  predictor = api.load_predictor(tmp_path / "none", config)
  (answer,) = predictor.predict([picture(37, 53)])
  assert not answer.error
  found = hub.read(folder)
  sheet = found.preprocessing.picture(picture(37, 53))[None]
  batch = {"image": sheet, "size": np.array([sheet.shape[1:3]]), "real": np.ones(1, bool)}
  best = predictor.task.predict(found.variables(), batch)
  tokens = np.asarray(best.tokens)[0, 0, : int(best.lengths[0, 0])]
  assert len(tokens) and found.vocabulary.text(tokens) == answer.text
  assert best.scores[0, 0] == pytest.approx(answer.score, abs=1e-5)


def test_bytes_are_not_augmented(folder, tmp_path):
  changes = {"init_from": str(folder), "data.augment.brightness": 0.1}
  config = configs.override(hub_config.get_config().lock(), changes)
  with pytest.raises(ConfigError, match=r"config\.data\.augment.*patches"):
    pretrained.check(config, tmp_path)


def test_what_cannot_be_done_is_told(folder, tmp_path):
  config = hub_cases.CASES["pix2struct"]
  with pytest.raises(WeightsError, match="is_vqa: it draws a question as a header"):
    from_dict(KIND | {"is_vqa": True})
  with pytest.raises(ValueError, match="is_vqa=True is a model that wants a question"):
    hub_models.from_config(config | {"is_vqa": True}, {"max_patches": 7})
  with pytest.raises(ValueError, match=r"max_patches is 9, and the model .* columns up to 8"):
    hub_models.from_config(config, {"max_patches": 9})
  with pytest.raises(ValueError, match="not of this model, pix2struct"):
    hub_models.from_config(config, {"do_normalize": False})
  with pytest.raises(ValueError, match="not of this model, git"):
    hub_models.from_config(hub_cases.CASES["git"], {"max_patches": 7})
  for part, heads in (("vision_config", "num_attention_heads"), ("text_config", "num_heads")):
    with pytest.raises(ValueError, match="3 heads of d_kv=4 channels is not known"):
      hub_models.from_config({**config, part: {**config[part], heads: 3}}, {"max_patches": 7})
  folder = shutil.copytree(folder, tmp_path / "patches")
  made_hub.write_json(folder / "preprocessor_config.json", SMALL | {"patch_size": 8})
  with pytest.raises(HubError, match=r"makes pictures of 20 x 260 pixels, the model .* 20 x 100"):
    hub.read(folder)
