"""The records of a split, made item by item."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tqdm import tqdm


class ItemError(ValueError):
  """One item of a source cannot be used; the text says why."""


def examples(
    items: Sequence[Any],
    make: Callable[[Any], dict],
    *,
    name: str,
    rejected: Callable[[Any, str], None],
) -> Iterator[tuple[int, dict]]:
  """(number, record) of each item in order, with a progress bar.

  Args:
    items: small picklable descriptions (an archive and a member's name, a text, ...).
    make: a function at the top level of a module that does the heavy work of one item (reads,
      decodes to be sure, draws) and returns its features. Pure: the same item gives the same bytes.
      Raises ItemError for an item that cannot be used.
    name: of the split, for the bar.
    rejected: told (item, reason) for each item that raised; such an item gives no record.
  """
  for number, item in enumerate(tqdm(items, desc=name, unit="record")):
    try:
      yield number, make(item)
    except ItemError as error:
      rejected(item, str(error))
