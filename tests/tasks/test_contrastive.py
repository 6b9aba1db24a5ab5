"""The contrastive task: its loss by hand, what filler and damage count, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from mmjax import models, tasks, train_state
from mmjax.tasks import contrastive
from mmjax.text.damage import KINDS
from mmjax.text.vocabulary import Vocabulary

WORDS = Vocabulary.from_words(["<unk>", *"abcdefgh"])
MODEL = models.build("small_clip", len(WORDS), features=16, width=16, heads=2, layers=1, hidden=32,
                     dropout=0.0)  # fmt: skip
TASK = contrastive.Task(MODEL, WORDS, grammar=0.5)
ROWS, CELLS = 8, (2, 2, 12)


def test_info_nce_by_hand():
  logits = jnp.log(jnp.array([[3.0, 1.0, 9.0], [2.0, 2.0, 9.0], [9.0, 9.0, 9.0]]))
  loss, right = contrastive.info_nce(logits, jnp.array([True, True, False]))
  chances = [3 / 4, 2 / 4], [3 / 5, 2 / 3]  # of texts for a picture, of pictures for a text
  assert loss == pytest.approx(-np.log(chances).sum() / 2, rel=1e-5)
  assert right == 1  # the second picture's texts are level


@pytest.fixture(scope="module")
def batch():
  random = np.random.default_rng(0)
  tokens = np.zeros((ROWS, 5), np.int32)
  length = random.integers(2, 6, ROWS)
  for row, size in zip(tokens, length):
    row[:size] = random.integers(4, len(WORDS), size)
  tokens[:, 0] = np.arange(ROWS) + 4  # all of them differ
  return {
      "features": random.normal(size=(ROWS, *CELLS)).astype(np.float16),
      "tokens": tokens,
      "length": length.astype(np.int32),
      "references": tokens[:, None],
      "reference_length": length[:, None].astype(np.int32),
      "record": np.arange(ROWS),
      "real": np.arange(ROWS) < ROWS - 1,
  }


@pytest.fixture(scope="module")
def state(batch):
  def run(model):
    pictures = model.encode_features(batch["features"])
    return pictures, model.read(batch["tokens"], batch["length"]), model.temperature()

  params = nn.unbox(jax.jit(lambda k: MODEL.init(k, method=run))(jax.random.key(0)))["params"]
  optimizer = optax.scale_by_adam()
  zero = jnp.int32(0)
  return train_state.TrainState(
      zero, params, {}, optimizer.init(params), None, train_state.new_plateau())  # fmt: skip


def test_learns_who_belongs_together_and_what_is_damaged(state, batch):
  rates = train_state.Rates(optax.scale_by_adam(), lambda step: jnp.float32(5e-3))
  update = jax.jit(train_state.make_update(TASK, rates))
  means = []
  for _ in range(150):
    state, metrics = update(state, batch, jax.random.key(0))
    means.append({k: float(s / max(w, 1)) for k, (s, w) in jax.device_get(metrics).items()})
  assert metrics["contrastive"][1] == ROWS - 1  # filler counts nowhere
  assert means[0]["contrastive"] > 1 and means[-1]["contrastive"] < 0.1
  assert means[-1]["grammar"] < 0.8 * means[0]["grammar"]
  assert means[-1]["in_batch_accuracy"] == 1 and means[-1]["temperature"] > 10

  told, made = TASK.evaluate(state.variables, batch)
  outputs = [TASK.outputs(jax.device_get(made), row)[0][0] for row in range(ROWS - 1)]
  scores = TASK.score(outputs, [["a"]] * len(outputs))
  assert scores["text_recall_1"] == scores["picture_recall_1"] == 100
  half = TASK.score([*outputs, *[None] * len(outputs)], [["a"]] * 2 * len(outputs))
  assert half["recall_mean"] == 50
  assert {f"grammar_{kind}" for kind in (*KINDS, "sound")} == told.keys()
  assert sum(int(told[f"grammar_{kind}"][1]) for kind in KINDS) == ROWS - 1
  assert told["grammar_sound"][1] == ROWS - 1


def test_a_published_clip_learns_while_its_encoder_is_frozen(batch):
  model = models.build(
      "word_clip", len(WORDS), features=16, picture_size=16, image_width=64, image_layers=1,
      patch=8, text_words=20, text_width=64, text_layers=1, text_length=12, pieces=2,
  )  # fmt: skip
  task = contrastive.Task(model, WORDS, grammar=1.0)
  variables = dict(nn.unbox(jax.jit(task.init)(jax.random.key(0))))
  table = np.arange(2 * len(WORDS) + 6).reshape(-1, 2) % 18
  table[::2, 1] = -1  # every other word is one piece
  rule = optax.scale_by_adam()
  rates = train_state.Rates(rule, lambda step: jnp.float32(2e-3), factors=(("^encoder/", 0.0),))
  params, zero = variables["params"], jnp.int32(0)
  model_state = {"constants": {"pieces": jnp.asarray(table, jnp.int32)}}
  state = train_state.TrainState(
      zero, params, model_state, rule.init(params), None, train_state.new_plateau())  # fmt: skip
  pictures = np.random.default_rng(1).normal(size=(ROWS, 1, 1, 16)).astype(np.float16)
  update = jax.jit(train_state.make_update(task, rates))
  means = []
  for _ in range(40):
    state, metrics = update(state, batch | {"features": pictures}, jax.random.key(0))
    means.append({k: float(s / max(w, 1)) for k, (s, w) in jax.device_get(metrics).items()})
  assert means[0]["contrastive"] > 1 and means[-1]["contrastive"] < 0.3
  assert np.mean([m["grammar"] for m in means[-10:]]) < 0.8 * means[0]["grammar"]
  jax.tree.map(np.testing.assert_array_equal, state.params["encoder"], params["encoder"])
  np.testing.assert_array_equal(state.model_state["constants"]["pieces"], table)


def test_without_grammar_nothing_is_damaged(state, batch):
  plain = contrastive.Task(MODEL, WORDS)
  total, (weight, metrics, _) = jax.jit(plain.loss)(state.params, {}, batch, jax.random.key(0))
  assert "grammar" not in metrics and total == metrics["contrastive"][0]
  assert weight == ROWS - 1 and plain.evaluate(state.variables, batch)[0] == {}


def test_padding_and_other_texts_change_no_vector(state, batch):
  read = jax.jit(lambda *x: MODEL.apply({"params": state.params}, *x, method="read"))
  ours = read(batch["tokens"], batch["length"])
  longer = np.pad(batch["tokens"], [(0, 0), (0, 3)], constant_values=7)
  np.testing.assert_allclose(read(longer, batch["length"]).vectors, ours.vectors, atol=1e-5)
  np.testing.assert_allclose(jnp.linalg.norm(ours.vectors, axis=-1), 1, atol=1e-5)
  empty = read(np.zeros((1, 5), np.int32), np.zeros(1, np.int32))
  assert np.isfinite(empty.vectors).all()


def test_recalls_of_the_best_and_the_worst():
  references = [["a b"], ["c"]]
  best = TASK.score(TASK.perfect(references), references)
  worst = TASK.score([None, None], references)
  assert best.keys() == worst.keys()
  assert set(best.values()) == {100.0} and set(worst.values()) == {0.0}


def test_what_does_not_fit_is_refused():
  captioner = models.build("clip_reward_captioner", len(WORDS), width=16, heads=2, layers=1)
  with pytest.raises(ValueError, match="ClipRewardCaptioner has no read"):
    tasks.build("contrastive", model=captioner, vocabulary=WORDS)
  with pytest.raises(ValueError, match="a vocabulary of 0 words"):
    contrastive.Task(MODEL, Vocabulary.from_words(["<unk>"]), grammar=1.0)
