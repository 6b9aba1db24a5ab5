"""Published WAP weights (Theano) -> variables of `mmjax.models.wap`.

The published programs write two archives: the parameters, and the statistics of the batch norms
(`bn_params.npz`). Join them into one file, which is what this reads:

  parts = [np.load("attention.npz"), np.load("bn_params.npz")]
  skip = ("history_errs", "zipped_params")
  np.savez("wap.npz", **{k: p[k] for p in parts for k in p.files if k not in skip})

The names and equations are those of the programs (github.com/JianshuZhang/WAP, `DenseNet/nmt.py`
and `VGG/nmt.py`); no published archive of parameters was at hand to try. What differs from ours:

- Theano's `conv2d` turns its kernels by 180 degrees: here they are turned once and for all.
- Its dropout does not divide by what it keeps, but multiplies by it when it is off: that factor
  goes into the batch norm before it (relu(k x) = k relu(x)), and before the last layer into that.
- Two biases that are only added (`b_att`, `conv_b`) become one.
- Word 0 ends a text, and nothing starts one: our `<pad>` and `<sos>` come before it, with
  embeddings that are never read and logits that never win. So the words of the data set have to
  stand in the order of the published dictionary, from its word 1 on.

References: Zhang et al., 2017 and 2018, as in `mmjax.models.wap`.
"""

import numpy as np
from jaxtyping import Float

from mmjax.convert import state_dict as sd
from mmjax.convert.state_dict import WeightsError
from mmjax.text.vocabulary import EOS

NEVER = -1e4  # logit of a word that is not written
STATISTICS = "the archive of the batch norms' statistics (bn_params.npz) is not joined to it"


def convert(arrays: dict[str, np.ndarray], *, dropout: float = 0.2) -> dict:
  """Variables from the joined archives.

  Args:
    arrays: name -> array.
    dropout: rate that the network was trained with (`use_dropout`), 0 for none.

  Returns:
    {"params": ..., "batch_stats": ...} of float32 arrays.

  Raises:
    WeightsError: a weight is missing, left over, or of a shape that its layer cannot have.
  """
  if not any(name.endswith("_bn_mean") for name in arrays):
    raise WeightsError(f"no weight ends with _bn_mean: {STATISTICS}; see mmjax/convert/wap.py")
  w = sd.Weights(arrays, "Wemb_dec")
  w.ignore("history_errs|zipped_params")
  kept = 1 - dropout
  if w.matches("(dense)_"):
    _densenet(w, kept)
  else:
    _vgg(w, kept)
  embedding = w.take("Wemb_dec", None, None)
  w.put("params/word_embed/embedding", _after_specials(embedding, 0.0))
  _linear(w, "ff_state", "start")
  _decoder(w)
  for old, new in (("gru", "from_state"), ("prev", "from_word"), ("ctx", "from_picture")):
    _linear(w, f"ff_logit_{old}", new)
  kernel, bias = w.take("ff_logit_W", None, None), w.take("ff_logit_b", None)
  w.put("params/word_proj/kernel", _after_specials(kernel.T * kept, 0.0).T)
  w.put("params/word_proj/bias", _after_specials(bias, NEVER))
  return w.finish()


def _after_specials(rows: Float[np.ndarray, "V ..."], fill: float) -> Float[np.ndarray, "W ..."]:
  """Rows of the published words with those of our first two words before them."""
  return np.concatenate([np.full((EOS, *rows.shape[1:]), fill, np.float32), rows])


def _decoder(w: sd.Weights) -> None:
  """The two GRUs, whose gates r and u we have before the candidate, and the attention."""
  take = lambda name, *shape: w.take(f"decoder_{name}", *shape)
  wide = lambda *names: np.concatenate([take(n, None, None) for n in names], -1)
  long = lambda *names: np.concatenate([take(n, None) for n in names])
  w.put("params/word_gru/input/kernel", wide("W", "Wx"))
  w.put("params/word_gru/input/bias", long("b", "bx"))
  w.put("params/word_gru/state/kernel", wide("U", "Ux"))
  w.put("params/picture_gru/input/kernel", wide("Wc", "Wcx"))
  w.put("params/picture_gru/state/kernel", wide("U_nl", "Ux_nl"))
  w.put("params/picture_gru/state/bias", long("b_nl", "bx_nl"))
  w.put("params/attend/state/kernel", take("W_comb_att", None, None))
  w.put("params/attend/cells/kernel", take("Wc_att", None, None, 1, 1)[:, :, 0, 0].T)
  w.put("params/attend/cells/bias", take("b_att", None) + take("conv_b", None))
  w.put("params/attend/score/kernel", take("U_att", None, 1))
  w.put("params/attend/score/bias", take("c_tt", 1))
  w.put("params/attend/past_kernel", _turned(take("conv_Q", None, 1, None, None)))
  w.put("params/attend/past_proj_kernel", take("conv_Uf", None, None))


def _densenet(w: sd.Weights, kept: float) -> None:
  w.put("params/encoder/conv1/kernel", _turned(w.take("dense_input", *[None] * 4)))
  _norm(w, "dense_input", "encoder/norm1")
  for block, i in w.matches(r"dense_b(\d+)_l(\d+)"):
    ours = f"encoder/dense{int(block) + 1}_{i}"
    _pointwise(w, f"dense_B_b{block}_l{i}", f"{ours}/conv1")
    _norm(w, f"dense_B_b{block}_l{i}", f"{ours}/bn1", kept)
    name = f"dense_b{block}_l{i}"
    w.put(f"params/{ours}/conv2/kernel", _turned(w.take(name, *[None] * 4)))
    _norm(w, name, f"{ours}/bn2", kept)
  for (block,) in w.matches(r"dense_C_b(\d+)"):
    ours = f"encoder/trans{int(block) + 1}"
    _pointwise(w, f"dense_C_b{block}", f"{ours}/conv1")
    _norm(w, f"dense_C_b{block}", f"{ours}/bn1", kept)


def _vgg(w: sd.Weights, kept: float) -> None:
  found = w.matches(r"conv_b(\d+)_l(\d+)")
  if not found:
    raise WeightsError("no weight of an encoder: neither dense_b0_l0 nor conv_b0_l0 is there")
  last = max(int(block) for block, _ in found)
  for block, i in found:
    name, ours = f"conv_b{block}_l{i}", f"{int(block) + 1}_{i}"
    w.put(f"params/encoder/conv{ours}/kernel", _turned(w.take(name, *[None] * 4)))
    dropped = int(block) == last and int(i) < 3
    _norm(w, name, f"encoder/norm{ours}", kept if dropped else 1.0)


def _turned(kernel: Float[np.ndarray, "O I h w"]) -> Float[np.ndarray, "h w I O"]:
  """The kernel of a correlation that does what Theano's convolution with `kernel` does."""
  return np.ascontiguousarray(kernel[:, :, ::-1, ::-1].transpose(2, 3, 1, 0))


def _pointwise(w: sd.Weights, name: str, path: str) -> None:
  w.put(f"params/{path}/kernel", w.take(name, None, None, 1, 1)[:, :, 0, 0].T)


def _linear(w: sd.Weights, name: str, path: str) -> None:
  w.put(f"params/{path}/kernel", w.take(f"{name}_W", None, None))
  w.put(f"params/{path}/bias", w.take(f"{name}_b", None))


def _norm(w: sd.Weights, name: str, path: str, kept: float = 1.0) -> None:
  """[1, C, 1, 1] each; `kept` is what dropout after the ReLU leaves."""
  take = lambda part: w.take(f"{name}_bn_{part}", 1, None, 1, 1).reshape(-1)
  w.put(f"params/{path}/scale", take("gamma") * kept)
  w.put(f"params/{path}/bias", take("beta") * kept)
  w.put(f"batch_stats/{path}/mean", take("mean"))
  w.put(f"batch_stats/{path}/var", take("var"))
