"""Folders of Florence-2: the prompt, the size of pictures, and what is refused."""

import numpy as np
import pytest

from configs import hub as hub_config
from mmjax import api
from mmjax import config as configs
from mmjax.convert import florence2, hub, hub_models
from tests.convert import hub_cases, made_hub
from tests.convert.test_hub_preprocessing import picture

CONFIG = hub_cases.CASES["florence2"]
PICTURES = {
    "image_processor_type": "CLIPImageProcessor",
    "do_center_crop": False,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "size": {"height": 64, "width": 64},
    "crop_size": {"height": 64, "width": 64},
}


def config_for(vocabulary_size):
  text = {**CONFIG["text_config"], "vocab_size": vocabulary_size, "pad_token_id": 1,
          "max_position_embeddings": 128}  # fmt: skip
  return {**CONFIG, "text_config": text}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  made = tmp_path_factory.mktemp("hub") / "florence"
  return made_hub.make_folder(made, config_for, PICTURES)


def test_the_prompt_is_asked_in_the_folders_tokens(folder):
  found = hub.read(folder)
  first, *words, last = found.model.prompt
  assert (first, last) == (0, 2)
  assert found.vocabulary.tokenizer.decode(words) == "What does the image describe?"
  assert found.model.encoder.image_size == (64, 64)


def test_a_folder_predicts_what_its_prompt_asks(folder, tmp_path):
  config = configs.override(hub_config.get_config().lock(), {"init_from": str(folder)})
  (answer,) = api.load_predictor(tmp_path / "none", config).predict([picture(37, 53)])
  assert not answer.error
  found = hub.read(folder)
  image = found.preprocessing.picture(picture(37, 53))[None]
  valid = np.ones(image.shape[:3], bool)
  read = lambda model: model.apply(found.variables(), image, valid, method="encode").features
  features = read(found.model)
  assert features.shape[1] == 1 + 8 * 8 + len(found.model.prompt)
  other = found.model.clone(prompt=found.model.prompt[::-1])
  assert np.abs(features - read(other)).max() > 0.01


def test_what_cannot_be_done_is_told(folder):
  model = hub_models.from_config(CONFIG, {"do_normalize": False})
  with pytest.raises(ValueError, match=r"80 x 80 pixels are 10 x 10 cells, .* places for 9"):
    florence2.fit(model, (80, 80), (1,))
  old = {**CONFIG, "vision_config": {"dim_embed": [8, 12]}}
  with pytest.raises(ValueError, match="florence-community"):
    hub_models.from_config(old, {"do_normalize": False})
  wide = {**CONFIG, "vision_config": hub_cases.FLORENCE_VISION | {"projection_dim": 8}}
  with pytest.raises(ValueError, match="projection_dim=8 and d_model=16 is not known"):
    hub_models.from_config(wide, {"do_normalize": False})
  found = hub.read(folder)
  text = {**found.config["text_config"], "model_type": "mbart"}
  with pytest.raises(ValueError, match="text part 'mbart' is not known"):
    hub_models.from_config({**found.config, "text_config": text}, {"do_normalize": False})
