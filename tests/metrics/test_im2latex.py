"""Text scores of printed formulas."""

import math
import random

import numpy as np
import pytest

from mmjax.metrics import im2latex


def test_bleu_by_hand():
  # 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, none of 3 quadruples: no smoothing.
  none = im2latex.measure([["a b c d e f"]], ["a b c x e f"]).corpus()
  assert none["bleu_multi"] == 0
  # 6 of 7, 4 of 6, 2 of 5, 1 of 4 over both, and 7 words where 8 should be.
  some = im2latex.measure([["a b c d e f"], ["g h"]], ["a b c d x f", "g"]).corpus()
  expected = (6 / 7 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25 * math.exp(1 - 8 / 7)
  assert some["bleu_multi"] == pytest.approx(expected)


def test_counts_are_clipped_and_long_hypotheses_not_punished_twice():
  scores = im2latex.measure([["a b c d"]], ["a b c d a b c d"]).corpus()
  assert scores["bleu_multi"] == pytest.approx((4 / 8 * 3 / 7 * 2 / 6 * 1 / 5) ** 0.25)


def test_edit_and_exact():
  measured = im2latex.measure([["a b c"], ["a b"], ["x"], ["x"]], ["a x c", "a b", None, ""])
  assert measured.corpus()["edit"] == 1 - (1 + 0 + 1 + 1) / (3 + 2 + 1 + 1)
  assert measured.corpus()["exact"] == 1 / 4
  np.testing.assert_allclose(measured.samples()["edit"], [2 / 3, 1, 0, 0])


def test_dropped_and_empty():
  samples = im2latex.measure([[""], [""]], ["", None]).samples()
  np.testing.assert_array_equal(samples["exact"], [1, 0])
  np.testing.assert_array_equal(samples["bleu_multi"], [0, 0])
  np.testing.assert_array_equal(samples["edit"], [1, 1])


def test_the_nearest_reference_counts():
  scores = im2latex.measure([["a b c d e", "a x"]], ["a b"]).corpus()
  assert scores == {"bleu_multi": 0, "edit": 1 / 2, "exact": 0}
  # Between two lengths as near as each other the shorter counts, so no brevity penalty.
  both = im2latex.measure([["a b c d", "a b c d e f"]], ["a b c d e"]).corpus()
  assert both["bleu_multi"] == 1


def made():
  """200 formulas of two references, and hypotheses with up to five edits of the first."""
  draw = random.Random(7)
  words = ["x", "y", r"\frac", "{", "}", "^", "_", "1", "2", "+"]
  references = [[" ".join(draw.choices(words, k=draw.randint(1, 30))) for _ in range(2)]
                for _ in range(200)]
  hypotheses = []
  for reference, _ in references:
    tokens = reference.split()
    for _ in range(draw.randint(0, 5)):
      at, kind = draw.randrange(len(tokens) + 1), draw.randrange(3)
      if kind == 0:
        tokens.insert(at, draw.choice(words))
      elif kind == 1 and at < len(tokens):
        tokens[at] = draw.choice(words)
      elif at < len(tokens):
        del tokens[at]
    hypotheses.append(" ".join(tokens))
  return references, hypotheses


def test_bleu_equals_the_official_tool():
  # sacrebleu 2 with tokenize="none", smooth_method="none", on the same formulas.
  references, hypotheses = made()
  first = [r[:1] for r in references]
  shorter = [h.rsplit(" ", 2)[0] for h in hypotheses]
  for given, written, expected in ((first, hypotheses, 79.46080527687536),
                                   (references, hypotheses, 80.47879850535672),
                                   (first, shorter, 70.92690259001347)):
    scores = im2latex.measure(given, written).corpus()
    assert 100 * scores["bleu_multi"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 references"), (["x"], ["x"], r"references\[0\] is 'x'")])
def test_bad_input_is_refused(references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    im2latex.measure(references, hypotheses)
