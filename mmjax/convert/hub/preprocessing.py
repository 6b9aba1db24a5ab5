"""`preprocessor_config.json` of any age -> the pixels that a model expects."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from data_pipelines.transforms import Resize
from mmjax.convert.hub import patches
from mmjax.convert.state_dict import WeightsError
from mmjax.modules.patch_encoder import sheet_size

HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
# What a processor does where its file does not say (the library's own defaults, version 4.57).
_LIBRARY: dict[str, dict[str, Any]] = {
    "vit": dict(size=224, resample=2),
    "deit": dict(size=256, resample=3, do_center_crop=True, crop_size=224),
    "beit": dict(size=256, resample=3, do_center_crop=True, crop_size=224),
    "clip": dict(size={"shortest_edge": 224}, resample=3, do_center_crop=True, crop_size=224,
                 image_mean=CLIP[0], image_std=CLIP[1]),
    "blip": dict(size=384, resample=3, image_mean=CLIP[0], image_std=CLIP[1]),
    "donut": dict(size={"height": 2560, "width": 1920}, resample=2, page=True),
    "nougat": dict(size={"height": 896, "width": 672}, resample=2, page=True, do_crop_margin=True,
                   image_mean=IMAGENET[0], image_std=IMAGENET[1]),
}  # fmt: skip
_COMMON = dict(
    do_resize=True, do_center_crop=False, do_crop_margin=False, do_align_long_axis=False,
    do_thumbnail=True, do_pad=True, page=False, do_rescale=True, rescale_factor=1 / 255,
    do_normalize=True, image_mean=HALF, image_std=HALF,
)  # fmt: skip
_DARK = 200  # of 255: what is darker is no margin
_PATCHES: dict[str, Any] = dict(max_patches=2048, patch_size=16, do_normalize=True, is_vqa=False)
Steps = Literal["squash", "crop", "page", "patches"]


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """What is done with a picture.

  Attributes:
    steps: "squash" to the canvas; "crop": the shorter side to `shorter` (0: the picture to `first`)
      and the canvas out of the middle; "page": as Donut does, proportions kept, black around;
      "patches": numbers of patches as Pix2Struct has them (`mmjax.convert.hub.patches`).
    canvas: height and width of the result.
    resample: Pillow's number of the interpolation; None: no resizing before the crop.
    scale, mean, std: the model's input is (pixel * scale - mean) / std of each channel.
    crop_margin, align, thumbnail: steps of a page.
    patch: height and width of a patch.
    normalise: each picture is brought to mean 0 and deviation 1 before it is cut into patches.
  """

  steps: Steps
  canvas: tuple[int, int]
  resample: int | None
  scale: float
  mean: tuple[float, ...]
  std: tuple[float, ...]
  shorter: int = 0
  first: tuple[int, int] = (0, 0)
  crop_margin: bool = False
  align: bool = False
  thumbnail: bool = True
  patch: tuple[int, int] = (0, 0)
  normalise: bool = True

  @property
  def resize(self) -> Resize:
    """For the plan of a data set."""
    return Resize("own", self.canvas, own=self.picture)

  def picture(self, picture: UInt8[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels that transformers' own processor (that of Pillow) would normalise."""
    if picture.ndim == 2 or picture.shape[2] == 1:
      picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, 2)
    if self.steps == "patches":
      return patches.sheet(picture, self.canvas[0], self.patch, normalise=self.normalise)
    if self.steps == "page":
      return self._page(picture)
    if self.steps == "squash":
      return _resized(picture, self.canvas, self.resample)
    size = self.first
    if self.shorter:
      size = _by_shorter(picture.shape, self.shorter)
    return _centre(_resized(picture, size, self.resample), self.canvas)

  def _page(self, picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height, width = self.canvas
    if self.crop_margin:
      picture = _without_margin(picture)
    h, w = picture.shape[:2]
    if self.align and ((width < height and w > h) or (width > height and w < h)):
      picture = np.rot90(picture, 3)
    size = _by_shorter(picture.shape, min(self.canvas))
    picture = _resized(np.ascontiguousarray(picture), size, self.resample)
    if self.thumbnail:
      picture = _thumbnail(picture, self.canvas)
    h, w = picture.shape[:2]
    if h > height or w > width:
      raise ValueError(
          f"a picture of {h} x {w} does not fit the canvas of {height} x {width}: set do_thumbnail"
          " in preprocessor_config.json"
      )
    top, left = (height - h) // 2, (width - w) // 2
    page = np.zeros((height, width, 3), np.uint8)
    page[top : top + h, left : left + w] = picture
    return page

  def normalised(self) -> dict[str, Any]:
    """The keys of `preprocessor_config.json` that say what happens to the values of pixels."""
    if self.steps == "patches":
      return {"max_patches": self.canvas[0]}
    return {
        "do_rescale": True,
        "rescale_factor": self.scale,
        "do_normalize": True,
        "image_mean": list(self.mean),
        "image_std": list(self.std),
    }


def from_dict(given: Mapping[str, Any]) -> Preprocessing:
  """The preprocessing that a file describes, in its old (feature extractor) or new layout.

  Raises:
    WeightsError: a processor that is not known, one whose pictures would have no common size, or
      one that draws a question onto the picture.
  """
  kind = str(given.get("image_processor_type") or given.get("feature_extractor_type") or "")
  family = kind.removesuffix("Fast")
  family = family.removesuffix("ImageProcessor").removesuffix("FeatureExtractor").lower()
  if not kind:
    raise WeightsError("it has neither image_processor_type nor feature_extractor_type")
  said = {k: v for k, v in given.items() if v is not None}
  if family == "pix2struct":
    return _patches(_PATCHES | said)
  if family not in _LIBRARY:
    known = ", ".join([*_LIBRARY, "pix2struct"])
    raise WeightsError(f"the processor {kind} is not known; known are those of {known}")
  p: dict[str, Any] = {**_COMMON, **_LIBRARY[family], **said}
  rest: dict[str, Any] = dict(
      scale=float(p["rescale_factor"]) if p["do_rescale"] else 1.0,
      mean=tuple(map(float, p["image_mean"])) if p["do_normalize"] else (0.0, 0.0, 0.0),
      std=tuple(map(float, p["image_std"])) if p["do_normalize"] else (1.0, 1.0, 1.0),
      resample=int(p["resample"]) if p["do_resize"] else None,
  )
  size = p["size"]
  if p["page"]:
    canvas = _square(size[::-1] if isinstance(size, list | tuple) else size, "size")
    if not (p["do_pad"] and p["do_resize"]):
      raise WeightsError("do_pad or do_resize is false: its pictures would have no common size")
    return Preprocessing(
        "page", canvas, crop_margin=p["do_crop_margin"], align=p["do_align_long_axis"],
        thumbnail=p["do_thumbnail"], **rest,
    )  # fmt: skip
  if isinstance(size, int) and family == "clip":
    size = {"shortest_edge": size}
  shorter = size.get("shortest_edge", 0) if isinstance(size, Mapping) else 0
  if not p["do_center_crop"]:
    if shorter or not p["do_resize"]:
      raise WeightsError(
          f"size is {size} without do_center_crop: its pictures would have no common size; give"
          " size a height and a width"
      )
    return Preprocessing("squash", _square(size, "size"), **rest)
  canvas = _square(p["crop_size"], "crop_size")
  if shorter:
    return Preprocessing("crop", canvas, shorter=int(shorter), **rest)
  return Preprocessing("crop", canvas, first=_square(size, "size"), **rest)


def _patches(p: Mapping[str, Any]) -> Preprocessing:
  if p["is_vqa"]:
    raise WeightsError(
        "is_vqa: it draws a question as a header onto every picture, which is not done here; take"
        " a model without, as google/pix2struct-textcaps-base"
    )
  patch = _square(p["patch_size"], "patch_size")
  canvas = sheet_size(int(p["max_patches"]), 3 * patch[0] * patch[1])
  return Preprocessing(
      "patches", canvas, Image.Resampling.BILINEAR, 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0),
      patch=patch, normalise=p["do_normalize"],
  )  # fmt: skip


def _square(size: Any, name: str) -> tuple[int, int]:
  """Height and width of a size in any of its forms."""
  if isinstance(size, int):
    return size, size
  if isinstance(size, list | tuple) and len(size) == 2:
    return int(size[0]), int(size[1])
  if isinstance(size, Mapping) and {"height", "width"} <= size.keys():
    return int(size["height"]), int(size["width"])
  raise WeightsError(f"{name} is {size}: a height and a width are wanted, or one number")


def _by_shorter(shape: tuple[int, ...], shorter: int) -> tuple[int, int]:
  h, w = shape[:2]
  longer = int(shorter * max(h, w) / min(h, w))
  return (longer, shorter) if w <= h else (shorter, longer)


def _resized(
    picture: UInt8[np.ndarray, "H W 3"],
    size: tuple[int, int],
    resample: int | None,
    gap: float | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
  if resample is None:
    return picture
  image = Image.fromarray(picture)
  return np.asarray(image.resize(size[::-1], Image.Resampling(resample), reducing_gap=gap))


def _thumbnail(
    picture: UInt8[np.ndarray, "H W 3"], canvas: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
  h, w = picture.shape[:2]
  height, width = min(h, canvas[0]), min(w, canvas[1])
  if (height, width) == (h, w):
    return picture
  if h > w:
    width = int(w * height / h)
  elif w > h:
    height = int(h * width / w)
  return _resized(picture, (height, width), Image.Resampling.BICUBIC, gap=2.0)


def _centre(
    picture: UInt8[np.ndarray, "H W 3"], canvas: tuple[int, int]
) -> UInt8[np.ndarray, "h w 3"]:
  """The canvas out of the middle; black where the picture is smaller."""
  out = np.zeros((*canvas, 3), np.uint8)
  shifts = [-((n - m) // 2) for n, m in zip(picture.shape, canvas)]  # of the picture's corner
  target = tuple(slice(max(s, 0), max(s, 0) + n) for s, n in zip(shifts, picture.shape))
  source = tuple(slice(max(-s, 0), max(-s, 0) + m) for s, m in zip(shifts, canvas))
  part = out[target]
  part[:] = picture[source][: part.shape[0], : part.shape[1]]
  return out


def _without_margin(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
  """The part with ink, dark on light. (Blecher et al., 2023: Nougat.)"""
  grey = np.asarray(Image.fromarray(picture).convert("L"))
  low, high = grey.min(), grey.max()
  if low == high:
    return picture
  dark = (grey - low) / (high - low) * 255 < _DARK
  rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
  return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
