r"""Reports for files of formulas how many come back from their trees token by token.

  python -m tests.text.round_trip FILE...

A file holds a formula a line, tokens separated by blanks, after the last tab where there is one;
`.gz` files are unpacked. What does not come back is listed with the reason.
"""

import collections
import gzip
import pathlib
import sys
from collections.abc import Iterable

from mmjax.text import latex_tree


def read(path: pathlib.Path) -> list[list[str]]:
  """Tokens of each formula in a file."""
  data = path.read_bytes()
  text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
  return [line.split("\t")[-1].split() for line in text.split("\n")[:-1]]


def failures(formulas: Iterable[list[str]]) -> list[tuple[str, list[str]]]:
  """Each formula that is malformed or comes back changed, after the reason."""
  out = []
  for tokens in formulas:
    try:
      if latex_tree.write(latex_tree.parse(tokens)) != tokens:
        out.append(("comes back changed", tokens))
    except latex_tree.MalformedError as error:
      out.append((str(error), tokens))
  return out


def main(paths: list[str]) -> None:
  for path in paths:
    formulas = read(pathlib.Path(path))
    failed = failures(formulas)
    print(f"{path}: {len(formulas) - len(failed)} of {len(formulas)} come back")
    reasons = collections.Counter(reason.split(": ")[-1] for reason, _ in failed)
    for reason, count in reasons.most_common():
      print(f"  {count} {reason}")
    for reason, tokens in failed:
      print(f"    {reason}: {' '.join(tokens)}")


if __name__ == "__main__":
  main(sys.argv[1:])
