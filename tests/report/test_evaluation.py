"""A captioning model whose weights are random: what an evaluation makes of its answers."""

import html
import json
import re

import captions_set
import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from flax import linen as nn
from html5 import Checked

from configs.flickr8k import sat_en
from configs.tiny import tiny
from mmjax import evaluate, experiment, splits
from mmjax.report.attention import attention_maps
from mmjax.report.evaluation import chosen_captions, write_evaluation

GRID = (2, 3)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
  """Of the 7 validation pictures of `captions_set`, which come as features."""
  made = captions_set.Captioned(data_dir=tmp_path_factory.mktemp("captions"))
  made.download_and_prepare(file_format="array_record")
  builder = tfds.builder_from_directory(made.data_dir)
  config = tiny(sat_en.get_config())
  config.data.name, config.data.canvas, config.data.min_count = "captioned", (64, 96), 1
  config.evaluate.metrics = ("bleu", "cider")
  words = splits.vocabulary_of(config, builder)
  task, mesh = experiment.make_task(config, words), experiment.make_mesh(config)
  made = evaluate.Evaluator(config, builder, "validation", task, mesh)
  made.split.records.features = np.random.default_rng(0).normal(
    size=(7, *GRID, 1280)).astype(np.float16)
  return made


@pytest.fixture(scope="module")
def variables(evaluator):
  """Of the decoder: features need no encoder."""
  features = evaluator.split.records.features[:1].astype(np.float32)
  look = lambda model: model.decode(
    np.ones((1, 1, 2), np.int32), model.encode_features(features))
  return nn.unbox(evaluator.task.model.init(jax.random.key(0), method=look))


@pytest.fixture(scope="module")
def answered(evaluator, variables):
  """(scores, predictions, details)."""
  scores, predictions = evaluator.run(variables)
  words = [p.words if p else None for p in predictions]
  return scores, predictions, evaluator.task.details(words, evaluator.references)


def maps_of(evaluator, variables, written):
  return attention_maps(
    evaluator.task, variables, evaluator.mesh, evaluator.plan, evaluator.split.records, written)


def test_attention_covers_photographs_that_come_as_features(evaluator, variables):
  written = {0: ["a", "dog", "runs"], 3: [], 6: ["dogs"]}
  seen = maps_of(evaluator, variables, written)
  assert seen.keys() == written.keys()
  for record, (picture, maps) in seen.items():
    np.testing.assert_array_equal(picture, evaluator.split.records.picture(record))
    assert maps.shape == (len(written[record]) + 1, *GRID)
    np.testing.assert_allclose(maps.sum((1, 2)), 1, atol=1e-5)
  features = evaluator.split.records.features
  evaluator.split.records.features = features[:, :, ::-1]
  try:
    mirrored = maps_of(evaluator, variables, written)
  finally:
    evaluator.split.records.features = features
  for record, (_, maps) in seen.items():
    np.testing.assert_allclose(mirrored[record][1], maps[:, :, ::-1], atol=1e-5)
    assert np.abs(maps - maps[:, :, ::-1]).max() > 1e-4


def test_the_report_shows_what_the_files_say(evaluator, variables, answered, tmp_path):
  scores, predictions, details = answered
  lines = [{"step": 1, "validation/cider": 0.5, "train/loss": 4.5}]
  (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
  path = write_evaluation(
    tmp_path / "out", tmp_path, evaluator, variables, predictions, scores, details,
    title="SAT", subtitle="test", count=5, notes={})
  text = path.read_text(encoding="utf-8")
  assert not Checked(text).open_tags
  shown = re.findall('<article class="card (.*?)" id="sample-(.*?)">', text)
  assert [group for group, _ in shown] == ["worst", "worst", "between", "best", "best"]
  rows = dict(zip(evaluator.split.index.ids, zip(predictions, details)))
  values = [rows[id][1]["cider"] for _, id in shown]
  every = sorted(row["cider"] for row in details)
  assert values[:2] == every[:2] and values[:-3:-1] == every[-2:]
  for _, id in shown:
    prediction, row = rows[id]
    at = text.index(f'id="sample-{id}"')
    card = html.unescape(re.sub("<.*?>", "", text[at : text.index("</article>", at)]))
    assert row["hypothesis"] in card and f"CIDEr {100 * row['cider']:.1f}" in card
    for words, score in prediction.others:
      assert f"{' '.join(words)} {score:.4g}" in card
    assert f"Attention, {len(prediction.words) + 1} steps" in card
  assert f"<strong>{100 * scores['cider']:.1f}</strong>" in text and "times 100" in text
  assert "validation 50.0<" in text and "cider plain" not in text


def test_captions_are_chosen_from_both_ends_and_the_middle():
  values = [float(v) for v in np.random.default_rng(0).permutation(100)]
  picked = chosen_captions(values, 10)
  assert [values[i] for i in picked] == [0, 1, 2, 3, 27, 73, 99, 98, 97, 96]
  assert list(picked.values()) == ["worst"] * 4 + ["between"] * 2 + ["best"] * 4


@pytest.mark.parametrize("pictures, count", [(0, 5), (1, 5), (3, 5), (5, 5), (7, 1), (7, 2)])
def test_few_captions_are_chosen_once_each(pictures, count):
  picked = chosen_captions([0.5] * pictures, count)
  assert len(picked) == min(pictures, count) and set(picked) <= set(range(pictures))
