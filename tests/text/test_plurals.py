"""Singulars and plurals of English nouns."""

import json

import pytest

from mmjax.text.plurals import plural, singular

PAIRS = """dog dogs, bus buses, bench benches, box boxes, dress dresses, glass glasses, lady ladies,
  boy boys, toy toys, woman women, snowman snowmen, fireman firemen, human humans, knife knives,
  shelf shelves, child children, foot feet, mouse mice, potato potatoes, photo photos, zoo zoos,
  cookie cookies, pie pies, tie ties, ski skis, taxi taxis, sheep sheep, cattle cattle, scissors
  scissors, glove gloves, giraffe giraffes, horse horses, vase vases, suitcase suitcases,
  octopus octopuses, canoe canoes, axe axes"""


@pytest.mark.parametrize("one, many", [pair.split() for pair in PAIRS.split(",")])
def test_there_and_back(one, many):
  assert plural(one) == many
  assert singular(one) == one
  assert singular(many) == one or many == "glasses"  # those to see with are singular


# "'cellos", "skies" and "deer" with an s; uncountable words, of which they have plurals.
ODD = """bread cello clothing deer drink equipment fish food furniture goat mouse phone scarf segway
  shrimp ski squid watercraft"""


def test_plurals_of_open_images(shared):
  """Those looked up in a dictionary by Feng et al., and what is odd among them."""
  found = json.loads((shared / "data/unsup_caption/plural_words.json").read_text())
  plurals_already = {one for one, many in found.items() if one == many and one.endswith("s")}
  other = {one for one, many in found.items() if plural(one) != many} - plurals_already
  assert other == set(ODD.split())
  changed = {one for one in found if singular(one) != one}
  assert changed < plurals_already and len(changed) == 8
