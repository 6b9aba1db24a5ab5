"""Optimizers against PyTorch's numbers, the plateau rule, schedules and clipping."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from mmjax.optim import make_optimizer, make_schedule, new_plateau, update_plateau

START = {"kernel": [[1.0, -2.0], [0.5, 3.0]], "bias": [0.25, -0.75]}
GRADIENTS = [
    {"kernel": [[0.1, -0.2], [0.3, 0.05]], "bias": [1.0, -0.5]},
    {"kernel": [[-0.4, 0.1], [0.0, 0.2]], "bias": [0.25, 0.5]},
    {"kernel": [[0.2, 0.2], [-0.6, 0.01]], "bias": [-1.5, 0.125]},
]
# torch.optim.Adadelta(lr=1, rho=0.9, eps=1e-6, weight_decay=0.1), PyTorch 2.13, after each step
ADADELTA = [
    ([[0.996838118, -1.996837821], [0.496837851, 2.996837851]], [0.246837737, -0.74683777]),
    ([[1.000618513, -1.995701641], [0.496176086, 2.993113214]], [0.24562203, -0.74958755]),
    ([[0.996781847, -1.995706842], [0.499991907, 2.990375551]], [0.2494167, -0.749979422]),
]
# torch.optim.AdamW(lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1; 0 for the bias)
ADAMW = [
    ([[0.989000001, -1.988000001], [0.4895, 2.987000002]], [0.24, -0.74]),
    ([[0.993594905, -1.983345006], [0.482294699, 2.975186832]], [0.231677387, -0.740526316]),
    ([[0.993702347, -1.984088614], [0.485203532, 2.965071828]], [0.233307212, -0.742042909]),
]


def settings(**changes) -> ConfigDict:
  c = dict(name="adamw", lr=0.01, schedule="constant", warmup_steps=0, final_factor=0.0)
  c |= dict(weight_decay=0.1, clip=0.0, clip_value=0.0, factors=())
  c |= dict(b1=0.9, b2=0.99, rho=0.9, eps=1e-8, momentum=0.9)
  return ConfigDict(c | changes)


def trained(c: ConfigDict, gradients=GRADIENTS) -> list[dict[str, np.ndarray]]:
  """Parameters after each step, moved as the loop moves them."""
  params = {k: jnp.array(v) for k, v in START.items()}
  rule = make_optimizer(c)
  state, out = rule.init(params), []
  for g in gradients:
    step, state = rule.update({k: jnp.array(v) for k, v in g.items()}, state, params)
    params = {k: params[k] - c.lr * step[k] for k in params}
    out.append({k: np.asarray(v) for k, v in params.items()})
  return out


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (settings(name="adadelta", lr=1.0, eps=1e-6), ADADELTA),
        (settings(name="adamw"), ADAMW),
    ],
    ids=["adadelta", "adamw"],
)
def test_steps_are_those_of_pytorch(config, expected):
  for params, (kernel, bias) in zip(trained(config), expected, strict=True):
    np.testing.assert_allclose(params["kernel"], kernel, rtol=0, atol=5e-7)
    np.testing.assert_allclose(params["bias"], bias, rtol=0, atol=5e-7)


def test_adadelta_written_out():
  rho, eps, decay, lr = 0.9, 1e-6, 0.1, 0.5
  w = np.array(START["kernel"])
  squares = deltas = np.zeros((2, 2))
  got = trained(settings(name="adadelta", lr=lr, eps=eps))
  for g, params in zip(GRADIENTS, got):
    g = np.array(g["kernel"]) + decay * w
    squares = rho * squares + (1 - rho) * g**2
    delta = np.sqrt(deltas + eps) / np.sqrt(squares + eps) * g
    deltas = rho * deltas + (1 - rho) * delta**2
    w = w - lr * delta
    np.testing.assert_allclose(params["kernel"], w, rtol=1e-6)


def test_sgd_written_out():
  """torch.optim.SGD: v = momentum v + (g + decay w); w = w - lr v."""
  decay, lr = 0.1, 0.5
  got = trained(settings(name="sgd", lr=lr))
  for name in START:
    w = np.array(START[name])
    velocity = np.zeros_like(w)
    for gradients, params in zip(GRADIENTS, got, strict=True):
      velocity = 0.9 * velocity + np.array(gradients[name]) + decay * w
      w = w - lr * velocity
      np.testing.assert_allclose(params[name], w, rtol=1e-6)


def test_adamw_written_out():
  b1, b2, eps, lr = 0.9, 0.99, 1e-8, 0.01
  got = trained(settings())
  for name, decay in (("kernel", 0.1), ("bias", 0.0)):  # vectors do not decay
    w = np.array(START[name])
    m = v = np.zeros_like(w)
    for t, (g, params) in enumerate(zip(GRADIENTS, got), 1):
      g = np.array(g[name])
      m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
      w = w - lr * decay * w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
      np.testing.assert_allclose(params[name], w, rtol=1e-6)


@pytest.mark.parametrize("name", ["adadelta", "adamw"])
def test_clipping_limits_the_global_norm_before_the_rule(name):
  norm = float(optax.tree.norm({k: jnp.array(v) for k, v in GRADIENTS[0].items()}))
  small = [{k: np.array(v) * (0.5 / norm) for k, v in GRADIENTS[0].items()}]
  clipped = trained(settings(name=name, clip=0.5), GRADIENTS[:1])
  for limited, expected in zip(clipped, trained(settings(name=name), small)):
    np.testing.assert_allclose(limited["kernel"], expected["kernel"], rtol=1e-6)
  (loose,) = trained(settings(name=name, clip=2 * norm), GRADIENTS[:1])
  (free,) = trained(settings(name=name), GRADIENTS[:1])
  np.testing.assert_array_equal(loose["kernel"], free["kernel"])


def test_warm_up_and_cosine():
  c = settings(lr=0.2, schedule="warmup_cosine", warmup_steps=10, final_factor=0.1)
  rate = make_schedule(c, 110)
  assert float(rate(0)) == 0
  np.testing.assert_allclose([rate(s) for s in (5, 10, 60, 110)], [0.1, 0.2, 0.11, 0.02], rtol=1e-5)
  falling = [float(rate(s)) for s in range(10, 111)]
  assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("total", [1, 2, 5])
def test_a_run_shorter_than_its_warm_up_still_trains(total):
  rate = make_schedule(settings(lr=0.2, schedule="warmup_cosine", warmup_steps=10), total)
  assert float(rate(total - 1)) > 0
  assert float(rate(total)) == pytest.approx(0, abs=1e-7)


def test_constant():
  rate = make_schedule(settings(lr=0.3), 10)
  assert [float(rate(s)) for s in (0, 9, 1000)] == [pytest.approx(0.3)] * 3


@pytest.mark.parametrize(
    ("make", "key", "names"),
    [
        (make_optimizer, "name", "adadelta, adamw"),
        (lambda c: make_schedule(c, 1), "schedule", "constant, warmup_cosine"),
    ],
    ids=["optimizer", "schedule"],
)
def test_unknown_names_list_the_known(make, key, names):
  with pytest.raises(ValueError, match=f"config.optim.{key} is 'sgdd'; there are: {names}"):
    make(settings(**{key: "sgdd"}))


# (score, rate after it) of torch's ReduceLROnPlateau(mode="max", factor=0.1, patience=2) at lr 1
PLATEAU = [
    (0.0, 1.0), (0.1, 1.0), (0.1, 1.0), (0.100005, 1.0), (0.2, 1.0), (0.1, 1.0), (0.1, 1.0),
    (0.1, 0.1), (0.15, 0.1), (0.2, 0.1), (0.2, 0.01), (0.2, 0.01), (0.3, 0.01), (0.30001, 0.01),
    (0.3, 0.01), (0.3, 0.001), (0.3, 0.001),
]  # fmt: skip


def test_plateau_is_that_of_pytorch():
  p = new_plateau()
  for score, rate in PLATEAU:
    p = update_plateau(p, score, factor=0.1, patience=2)
    assert float(p.factor) == pytest.approx(rate)
    assert [x.dtype for x in p] == [np.float32, np.float32, np.int32]
  assert float(p.best) == pytest.approx(0.3)
