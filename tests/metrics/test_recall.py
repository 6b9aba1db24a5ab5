"""Recalls by hand, against ties, and of what does not fit."""

import numpy as np
import pytest

from mmjax.metrics.recall import recalls


def test_by_hand():
  """Of two pictures with two texts each, the second's texts are nearer to the first."""
  pictures = np.array([[1.0, 0.0], [0.0, 1.0]])
  texts = np.array([[0.9, 0.1], [0.2, 0.3], [0.8, 0.2], [0.95, 0.25]])
  scores = recalls(pictures, texts, np.array([0, 0, 1, 1]))
  # The first picture's nearest text is the fourth, of the second: .95; its own best, .9, is second.
  assert scores["text_recall_1"] == 0 and scores["text_recall_5"] == 100
  # For the texts: .9 > .1 right; .2 < .3 wrong; .8 > .2 wrong; .95 > .25 wrong.
  assert scores["picture_recall_1"] == 25 and scores["picture_recall_5"] == 100
  assert scores["recall_mean"] == pytest.approx((0 + 25 + 400) / 6)


def test_ties_are_not_found():
  same = np.ones((12, 3))
  scores = recalls(same, same, np.arange(12))
  assert scores["text_recall_10"] == scores["picture_recall_1"] == 0


def test_equals_a_ranking():
  random = np.random.default_rng(0)
  pictures, owners = random.normal(size=(30, 4)), np.repeat(np.arange(30), 5)
  texts = pictures[owners] + random.normal(size=(150, 4))
  near = pictures @ texts.T
  for rank in (1, 5, 10):
    text = [set(owners[np.argsort(-row)[:rank]]) for row in near]
    picture = [set(np.argsort(-column)[:rank]) for column in near.T]
    scores = recalls(pictures, texts, owners)
    assert scores[f"text_recall_{rank}"] == pytest.approx(
        100 * np.mean([i in found for i, found in enumerate(text)]), rel=1e-6)
    assert scores[f"picture_recall_{rank}"] == pytest.approx(
        100 * np.mean([o in found for o, found in zip(owners, picture)]), rel=1e-6)


def test_what_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="1 of 2 pictures have no text, the first is number 1"):
    recalls(np.eye(2), np.eye(2), np.array([0, 0]))
  with pytest.raises(ValueError, match="a text has no picture"):
    recalls(np.eye(2), np.ones((3, 2)), np.array([0, 1, 2]))
