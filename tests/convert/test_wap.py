"""The converter of Theano's WAP on imitated archives, against its equations in NumPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy.signal import convolve2d

from mmjax import convert, models
from mmjax.convert import wap
from mmjax.convert.state_dict import WeightsError
from mmjax.text.vocabulary import SOS

WORDS, EMBEDDING, HIDDEN, ATTENTION, MAPS, KERNEL = 7, 8, 6, 5, 3, 5
GROWTH, LAYERS = 4, (2, 1)
CHANNELS = (32, 64, 64, 128)  # of the VGG
KEPT = 0.8
SIZES = dict(
    hidden=HIDDEN, embedding=EMBEDDING, attention=ATTENTION, coverage_channels=MAPS, kernel=KERNEL,
    growth=GROWTH, encoder_layers=LAYERS)


def archive(encoder):
  """Both archives, joined, by the names of the published programs."""
  rng = np.random.default_rng(0)
  arrays = {}

  def add(name, *shape, scale=0.5):
    arrays[name] = (rng.normal(size=shape) * scale).astype(np.float32)

  def convolution(name, out, into, side):
    add(name, out, into, side, side, scale=(into * side * side) ** -0.5)
    for part in ("gamma", "beta", "mean"):
      add(f"{name}_bn_{part}", 1, out, 1, 1)
    arrays[f"{name}_bn_var"] = rng.uniform(0.5, 2, (1, out, 1, 1)).astype(np.float32)

  if encoder == "densenet":
    channels = 2 * GROWTH
    convolution("dense_input", channels, 1, 7)
    for block, depth in enumerate(LAYERS):
      for i in range(depth):
        convolution(f"dense_B_b{block}_l{i}", 4 * GROWTH, channels, 1)
        convolution(f"dense_b{block}_l{i}", GROWTH, 4 * GROWTH, 3)
        channels += GROWTH
      if block < len(LAYERS) - 1:
        convolution(f"dense_C_b{block}", channels // 2, channels, 1)
        channels //= 2
  else:
    channels = 1
    for block, out in enumerate(CHANNELS):
      for i in range(4):
        convolution(f"conv_b{block}_l{i}", out, channels, 3)
        channels = out
  h, d, a = HIDDEN, EMBEDDING, ATTENTION
  for name, shape in {
      "Wemb_dec": (WORDS, d), "ff_state_W": (channels, h), "ff_state_b": (h,),
      "decoder_W": (d, 2 * h), "decoder_b": (2 * h,), "decoder_U": (h, 2 * h),
      "decoder_Wx": (d, h), "decoder_bx": (h,), "decoder_Ux": (h, h),
      "decoder_U_nl": (h, 2 * h), "decoder_b_nl": (2 * h,), "decoder_Ux_nl": (h, h),
      "decoder_bx_nl": (h,), "decoder_Wc": (channels, 2 * h), "decoder_Wcx": (channels, h),
      "decoder_W_comb_att": (h, a), "decoder_Wc_att": (a, channels, 1, 1), "decoder_b_att": (a,),
      "decoder_U_att": (a, 1), "decoder_c_tt": (1,), "decoder_conv_Q": (MAPS, 1, KERNEL, KERNEL),
      "decoder_conv_Uf": (MAPS, a), "decoder_conv_b": (a,),
      "ff_logit_gru_W": (h, d), "ff_logit_gru_b": (d,), "ff_logit_prev_W": (d, d),
      "ff_logit_prev_b": (d,), "ff_logit_ctx_W": (channels, d), "ff_logit_ctx_b": (d,),
      "ff_logit_W": (d // 2, WORDS), "ff_logit_b": (WORDS,),
  }.items():
    add(name, *shape)
  arrays["history_errs"] = np.zeros(3)
  return arrays


def sigmoid(x):
  return 1 / (1 + np.exp(-x))


class Theano:
  """What the published programs compute of one picture, from their arrays."""

  def __init__(self, arrays):
    self.a = {name: array.astype(np.float64) for name, array in arrays.items()}

  def convolution(self, x, name):
    """[C, H, W]: with turned kernels, as `convolve2d` has them, and the size kept."""
    kernel = self.a[name]
    side = kernel.shape[2] // 2
    full = [sum(convolve2d(c, k) for c, k in zip(x, of_out)) for of_out in kernel]
    return np.stack([f[side : side + x.shape[1], side : side + x.shape[2]] for f in full])

  def block(self, x, name, stride=1, kept=1.0):
    mean, var, gamma, beta = (self.a[f"{name}_bn_{p}"][0] for p in ("mean", "var", "gamma", "beta"))
    x = self.convolution(x, name)[:, ::stride, ::stride]
    return np.maximum((x - mean) * gamma / np.sqrt(var + 1e-4) + beta, 0) * kept

  @staticmethod
  def pool(x, of_window):
    rows, columns = (range(0, n, 2) for n in x.shape[1:])
    return np.stack(
        [[of_window(x[:, r : r + 2, c : c + 2], axis=(1, 2)) for c in columns] for r in rows], 0
    ).transpose(2, 0, 1)

  def densenet(self, picture):
    x = self.pool(self.block(picture, "dense_input", stride=2), np.max)
    for block, depth in enumerate(LAYERS):
      for i in range(depth):
        new = self.block(x, f"dense_B_b{block}_l{i}", kept=KEPT)
        x = np.concatenate([x, self.block(new, f"dense_b{block}_l{i}", kept=KEPT)])
      if block < len(LAYERS) - 1:
        x = self.pool(self.block(x, f"dense_C_b{block}", kept=KEPT), np.mean)
    return x

  def vgg(self, picture):
    x = picture
    for block in range(4):
      for i in range(4):
        x = self.block(x, f"conv_b{block}_l{i}", kept=KEPT if block == 3 and i < 3 else 1.0)
      x = self.pool(np.pad(x, ((0, 0), *((0, n % 2) for n in x.shape[1:])), constant_values=-1),
                    np.max)  # fmt: skip
    return x

  @staticmethod
  def gru(gates, outside, inside, h):
    """`inside` is what the candidate multiplies by r."""
    r, u = np.split(sigmoid(gates), 2)
    return u * h + (1 - u) * np.tanh(outside + r * inside)

  def logits(self, features, words):
    """[T, V], of the word after each of `words`; -1 starts a text."""
    d = {n.removeprefix("decoder_"): v for n, v in self.a.items() if n.startswith("decoder_")}
    affine = lambda name, x: x @ self.a[f"{name}_W"] + self.a[f"{name}_b"]
    h = np.tanh(affine("ff_state", features.mean((1, 2))))
    past, out = np.zeros(features.shape[1:]), []
    cells = np.einsum("chw,ac->hwa", features, d["Wc_att"][:, :, 0, 0]) + d["b_att"]
    for word in words:
      x = np.zeros(EMBEDDING) if word < 0 else self.a["Wemb_dec"][word]
      h1 = self.gru(x @ d["W"] + d["b"] + h @ d["U"], x @ d["Wx"] + d["bx"], h @ d["Ux"], h)
      covered = self.convolution(past[None], "decoder_conv_Q").transpose(1, 2, 0) @ d["conv_Uf"]
      scores = np.tanh(cells + h1 @ d["W_comb_att"] + covered + d["conv_b"]) @ d["U_att"]
      scores = scores + d["c_tt"]
      weights = np.exp(scores[..., 0]) / np.exp(scores).sum()
      past = past + weights
      found = (features * weights).sum((1, 2))
      gates = h1 @ d["U_nl"] + d["b_nl"] + found @ d["Wc"]
      h = self.gru(gates, found @ d["Wcx"], h1 @ d["Ux_nl"] + d["bx_nl"], h1)
      x = affine("ff_logit_gru", h) + affine("ff_logit_prev", x) + affine("ff_logit_ctx", found)
      out.append(affine("ff_logit", x.reshape(-1, 2).max(1) * KEPT))
    return np.stack(out)


@pytest.mark.parametrize("encoder,size", [("densenet", (37, 50)), ("vgg", (19, 35))])
def test_equals_the_published_equations(encoder, size):
  arrays = archive(encoder)
  variables = wap.convert(arrays)
  model = models.build("wap", WORDS + 2, encoder_name=encoder, **SIZES)
  picture = np.random.default_rng(1).integers(0, 256, (1, *size, 1)).astype(np.uint8)
  valid, words = np.ones((1, *size), bool), np.array([-1, 3, 6, 1])
  tokens = np.where(words < 0, SOS, words + 2)[None, None]
  target = jax.eval_shape(functools.partial(model.init, jax.random.key(0)), picture, valid, tokens)
  convert.check_shapes(variables, nn.unbox(target))
  assert {x.dtype for x in jax.tree.leaves(variables)} == {np.dtype("float32")}

  ours = jax.jit(model.apply)(variables, jnp.asarray(picture), valid, tokens)[0, 0]
  theano = Theano(arrays)
  features = getattr(theano, encoder)(picture[..., 0] / 255)
  expected = theano.logits(features, words)
  assert np.ptp(features) > 0.1 and np.ptp(expected) > 0.1
  np.testing.assert_allclose(ours[:, 2:], expected, atol=2e-4)
  assert (np.asarray(ours[:, :2]) < -1e3).all()


def test_each_missing_weight_is_named():
  arrays = archive("densenet")
  needed = [name for name in arrays if name != "history_errs"]
  assert len(needed) > 50
  for name in needed:
    left = {k: v for k, v in arrays.items() if k != name}
    with pytest.raises(WeightsError, match=re.escape(name)):
      wap.convert(left)


@pytest.mark.parametrize("encoder", ["densenet", "vgg"])
def test_an_additional_weight_and_a_wrong_shape_are_named(encoder):
  arrays = archive(encoder)
  with pytest.raises(WeightsError, match=r"1 weights have no place.*decoder_V"):
    wap.convert(arrays | {"decoder_V": np.zeros(3)})
  with pytest.raises(WeightsError, match=r"ff_logit_b has the shape \(7, 1\)"):
    wap.convert(arrays | {"ff_logit_b": arrays["ff_logit_b"][:, None]})


def test_archives_that_are_not_joined_and_other_networks_are_refused():
  arrays = archive("vgg")
  alone = {k: v for k, v in arrays.items() if "bn_mean" not in k and "bn_var" not in k}
  with pytest.raises(WeightsError, match=r"bn_params\.npz"):
    wap.convert(alone)
  with pytest.raises(WeightsError, match="neither dense_b0_l0 nor conv_b0_l0"):
    wap.convert({k: v for k, v in arrays.items() if not re.fullmatch(r"conv_b.*", k)}
                | {"x_bn_mean": np.zeros(3)})  # fmt: skip


def test_dropout_that_was_not_used_leaves_the_weights_as_they_are():
  arrays = archive("densenet")
  bare = wap.convert(arrays, dropout=0)["params"]
  np.testing.assert_array_equal(bare["word_proj"]["kernel"][:, 2:], arrays["ff_logit_W"])
  np.testing.assert_allclose(
      wap.convert(arrays)["params"]["word_proj"]["kernel"], bare["word_proj"]["kernel"] * KEPT
  )
