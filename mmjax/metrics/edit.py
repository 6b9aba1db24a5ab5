"""Edit distance of token sequences."""

from collections.abc import Hashable, Sequence

import numpy as np


def edit_distance(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
  """Fewest insertions, deletions and substitutions of tokens that turn `a` into `b`.

  Levenshtein's distance (Wagner and Fischer, 1974), one row of the table at a time.
  """
  numbers = {token: i for i, token in enumerate({*a, *b})}
  columns = np.array([numbers[token] for token in b], dtype=np.int32)
  steps = np.arange(len(b) + 1)
  row = steps
  for token in a:
    new = row + 1  # delete the token
    new[1:] = np.minimum(new[1:], row[:-1] + (columns != numbers[token]))
    # An insertion adds 1 per column, so less the column's number it is a running minimum.
    row = np.minimum.accumulate(new - steps) + steps
  return int(row[-1])
