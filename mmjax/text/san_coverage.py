"""What SAN's trees cannot express of a set of formulas.

  python -m mmjax.text.san_coverage data/crohme/train/captions.txt data/hme100k/test_labels.txt.gz

A line of a file is a formula of tokens between blanks, behind a tab where other columns stand
before it; the file may be gzipped.
"""

import argparse
import collections
import dataclasses
import gzip
from collections.abc import Iterable
from pathlib import Path

from mmjax.text import latex
from mmjax.text.san_labels import InexpressibleError, latex_of, rows_of

_EXAMPLES = 2


@dataclasses.dataclass
class Coverage:
  """Of a set of formulas.

  Attributes:
    formulas: how many there are.
    trees: how many have a tree.
    same: how many come back token by token.
    same_normalised: how many come back as `latex.normalise` sees them.
    reasons: how many have no tree, by reason.
    examples: the shortest formulas of each reason.
  """

  formulas: int = 0
  trees: int = 0
  same: int = 0
  same_normalised: int = 0
  reasons: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
  examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def coverage(formulas: Iterable[list[str]], *, compat: bool = False) -> Coverage:
  """Counts what has a tree, and what comes back from it; `compat` as for `rows_of`."""
  found = Coverage()
  for tokens in formulas:
    found.formulas += 1
    try:
      back = latex_of(rows_of(tokens, compat=compat))
    except InexpressibleError as e:
      found.reasons[e.reason] += 1
      examples = [*found.examples.get(e.reason, ()), " ".join(tokens)]
      found.examples[e.reason] = sorted(examples, key=len)[:_EXAMPLES]
      continue
    found.trees += 1
    found.same += back == tokens
    found.same_normalised += latex.normalise(back) == latex.normalise(tokens)
  return found


def read_formulas(path: Path) -> list[list[str]]:
  """The tokens of each line."""
  with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as lines:
    return [line.rstrip("\n").rpartition("\t")[2].split() for line in lines]


def main() -> None:
  parser = argparse.ArgumentParser(description="What SAN's trees cannot express of formulas.")
  parser.add_argument("files", nargs="+", type=Path)
  parser.add_argument("--compat", action="store_true", help="as the published generator reads")
  args = parser.parse_args()
  for path in args.files:
    c = coverage(read_formulas(path), compat=args.compat)
    share = c.trees / max(c.formulas, 1)
    print(f"{path}: {c.formulas:,} formulas, {c.trees:,} with a tree ({share:.2%}); back from it"
          f" {c.same:,} token by token, {c.same_normalised:,} normalised")  # fmt: skip
    for reason, count in c.reasons.most_common():
      print(f"  {count:6,}  {reason}: {'   |   '.join(c.examples[reason])[:160]}")


if __name__ == "__main__":
  main()
