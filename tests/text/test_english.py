"""Words of English captions."""

import pytest

from mmjax.text import english


@pytest.mark.parametrize("text, cut", [
    ("A man's red T-shirt, folded.", "a mans red tshirt folded"),
    (" Two  DOGS\n(big) run! ", "two dogs big run"),
    ("3 dogs & 1 cat - 50% off", "3 dogs 1 cat 50 off"),
    ("it’s a “café”", "its a café"),
    ("...", ""), ("", ""),
])
def test_words(text, cut):
  assert english.words(text) == cut.split()
