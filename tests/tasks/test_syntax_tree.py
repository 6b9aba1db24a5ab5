"""The task of trees on a tiny SAN: its batches, its loss, that it learns, and a whole run."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest

from configs.crohme import san_small
from configs.tiny import tiny
from data_pipelines.pipeline import LoadBatch
from mmjax import api, experiment, models, sharding, splits, tasks, train_state
from mmjax.decode.options import DecodeOptions
from mmjax.tasks import syntax_tree
from mmjax.text import latex_tree
from mmjax.text.vocabulary import UnknownWordError, Vocabulary

WORDS = ["a", "b", "c", "^", "_", "{", "}", r"\frac", r"\limits"]
VOCABULARY = Vocabulary.from_words(WORDS)
SIZES = dict(hidden=32, embedding=24, attention=16, coverage_channels=4, growth=4,
             encoder_layers=(1, 1), dropout=0.0, encoder_dropout=0.0)  # fmt: skip
MODEL = models.build("san", len(VOCABULARY), mask_features=True, **SIZES)
TASK = syntax_tree.Task(MODEL, VOCABULARY, DecodeOptions(beam=2, max_length=20))
TEXTS = ["a", r"\frac { a } { b } c", "a ^ { b }", "c c _ { b } ^ { a } b"]


def batch_of(texts):
  encoded = TASK.encode_texts(texts)
  tokens = np.zeros((len(texts), 16, 4), np.int32)
  for row, rows in zip(tokens, encoded):
    row[: len(rows)] = rows
  return {
      "image": np.random.default_rng(5).integers(0, 256, (4, 32, 64, 1), dtype=np.uint8),
      "size": np.array([[32, 64], [20, 33], [32, 48], [16, 64]]),
      "tokens": tokens,
      "length": np.array([len(rows) for rows in encoded]),
      "real": np.ones(4, bool),
  }


def test_texts_become_rows_and_what_is_no_tree_none():
  frac, words = 3 + WORDS.index("b") + 2, TASK.words
  assert words.symbols == ("a", "b", "c", r"\frac") and len(words) == 14
  assert TASK.model.vocabulary_size == 14
  rows, none = TASK.encode_texts([r"\frac { a } { b }", "{ a ^ { b } } ^ { c }"])
  assert rows[:3].tolist() == [[frac, 0, 1, 0], [2, 1, frac, 3], [3, 2, 7, 0]] and none is None
  with pytest.raises(UnknownWordError):
    TASK.encode_texts(["a", "{ x }"])


def test_nodes_of_a_batch():
  batch = batch_of(TEXTS) | {"real": np.array([True, True, False, True])}
  nodes = jax.device_get(syntax_tree.nodes_of(batch))
  assert nodes.real.sum(1).tolist() == [2, 8, 0, 9]
  assert not nodes.words[2].any() and nodes.relations[3, 2].tolist() == [0, 0, 1, 1, 0, 0, 1]
  assert nodes.flagged.sum(1).tolist() == [0, 1, 0, 1]


def test_learns_to_write_trees():
  batch = batch_of(TEXTS)
  rates = train_state.Rates(optax.scale_by_adam(), lambda step: np.float32(5e-3))
  state, _ = train_state.create(TASK, rates, sharding.make_mesh(), seed=0)
  update = jax.jit(train_state.make_update(TASK, rates), donate_argnums=0)
  values = []
  for _ in range(150):
    state, metrics = update(state, batch, jax.random.key(0))
    values.append({k: float(metrics[k][0] / metrics[k][1]) for k in ("loss", "word", "attention")})
  assert values[0]["loss"] > 5 and values[-1]["word"] < 0.02
  assert values[-1]["attention"] < values[0]["attention"]

  metrics, found = jax.device_get(TASK.evaluate(state.variables, batch))
  assert metrics["loss"][1] == batch["length"].sum() and metrics["token_accuracy"][0] == 23
  best = [TASK.decode_words(t[0, :n[0]]) for t, n in zip(found.tokens, found.lengths)]
  assert [" ".join(words) for words in best] == TEXTS
  assert (found.scores[:, 0] > found.scores[:, 1]).all()
  for tokens, lengths in zip(found.tokens, found.lengths):
    latex_tree.parse(TASK.decode_words(tokens[1, : lengths[1]]))

  maps = TASK.attention(state.variables, batch, batch["tokens"], batch["length"])
  assert maps.shape == (4, 16, 4, 8)
  np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)
  assert TASK.step_names(TEXTS[2].split()) == ["a", "struct", "b", "<eos>"]


def test_filler_rows_have_no_loss():
  variables = dict(jax.jit(TASK.init)(jax.random.key(0)))
  params = variables.pop("params")

  @jax.jit
  def loss(batch):
    total, (weight, *_) = TASK.loss(params, variables, batch, jax.random.key(0))
    return total, weight

  real = np.array([True, True, False, True])
  some = loss(batch_of(TEXTS) | {"real": real})
  other = loss(batch_of([*TEXTS[:2], "b b b", TEXTS[3]]) | {"real": real})
  np.testing.assert_allclose(other, some, rtol=1e-6)
  assert some[1] == 2 + 8 + 9


def test_a_model_that_writes_no_trees_is_refused():
  model = models.build("can", len(VOCABULARY))
  with pytest.raises(ValueError, match=r"model CAN has no begin or advance: .* node by node"):
    tasks.build("syntax_tree", model=model, vocabulary=VOCABULARY)


@pytest.fixture(scope="module")
def config(formulas):
  config = tiny(san_small.get_config())
  config.data.name, config.data.dir = "synthetic", str(formulas)
  config.data.in_memory = False
  config.train.epochs = 1
  return config.lock()


def test_records_that_are_no_trees_are_in_no_batch(config):
  builder = splits.open_dataset(config)
  task = experiment.make_task(config, splits.vocabulary_of(config, builder))
  split = splits.load_split(config, builder, "validation", task)
  assert split.unwritable == 0
  split = dataclasses.replace(split, tokens=[None, *split.tokens[1:]])
  options = experiment.data_options(config, experiment.make_mesh(config), train=False)
  plan = split.plan(options, train=False)
  assert split.unwritable == 1 and 0 in plan.dropped
  batch = LoadBatch(split.records, split.tokens, 0, 1, plan).map(plan[0])
  row = int(np.argmax(batch["length"]))
  rows = split.tokens[batch["record"][row]]
  assert batch["tokens"].shape[2] == 4 and batch["length"][row] == len(rows)
  np.testing.assert_array_equal(batch["tokens"][row, : len(rows)], rows)


def test_a_run_trains_evaluates_and_reads(config, tmp_path):
  trained = api.train(config, tmp_path)
  scores = api.evaluate(config, tmp_path, "test")
  assert scores["pictures"] == 16 and {"exprate", "word", "relations"} <= scores.keys()
  assert trained.keys() <= scores.keys()
  folder = tmp_path / "evaluate" / "test"
  rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
  for row in rows:
    if row["hypothesis"] is not None:
      latex_tree.parse(row["hypothesis"].split())
  assert "<html" in (folder / "report.html").read_text()
  picture = np.zeros((40, 60), np.uint8)
  picture[10:30, 20:40] = 255
  answer = api.load_predictor(tmp_path).predict([picture])[0]
  assert not answer.error and answer.text.split() == list(answer.words)
