"""References and hypotheses from the files that people have.

A file is JSON, JSON lines, or a table (`.csv`, `.tsv`); each may be gzipped (`.gz`). In JSON:

  {id: text} or {id: [text, ...]}
  [{"id", "image_id" or "image": id, "caption" or "text" ...: text or [text, ...]}, ...]
  {"annotations": [{"image_id": id, "caption": text}, ...], ...}

The last two are the formats of COCO and AI Challenger; a row of the list is a JSON line, such as
the predictions.jsonl of an evaluation has. A table has such names in its first line, or an id and a
text in every line. Rows of one id add up to its references.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

# A COCO annotation has the first two, and is about the first; `image` is the name of a file.
ID_KEYS = ("image_id", "id", "image")
REFERENCE_KEYS = ("references", "reference", "texts", "text", "captions", "caption")
HYPOTHESIS_KEYS = ("hypotheses", "hypothesis", "texts", "text", "captions", "caption")
MAX_CHARACTERS = 20_000  # of a text: metrics take the square of it
_PICTURE = re.compile(r"([0-9a-f]{40})\.jpg")  # AI Challenger's annotations; submissions lack .jpg
_AIC_MODULUS = 2**63 - 1


class FileError(ValueError):
  """A file that cannot be read as what it should be; says where and what to do."""


class Texts(NamedTuple):
  """Texts of each sample, and what was found on the way.

  Attributes:
    texts: {id: texts}, in the order of the file.
    notes: what a reader of scores should know.
    dropped: ids whose hypothesis is null: the system gave none; their text is "".
  """

  texts: dict[str, list[str]]
  notes: list[str]
  dropped: frozenset[str] = frozenset()


def read_references(path: Path | str) -> Texts:
  """One or more texts of each sample; empty ones beside others are left out.

  Raises:
    FileError: missing, damaged or of no known format; a sample has no text; a list of texts stands
      twice for an id.
  """
  texts: dict[str, list[str]] = {}
  whole: set[str] = set()  # ids whose texts came as one list
  for place, name, value in _entries(Path(path), REFERENCE_KEYS):
    found = _texts(place, name, value)
    if name in texts and (isinstance(value, list) or name in whole):
      raise FileError(f"{place}: the references of {name!r} stand there twice; leave one")
    if isinstance(value, list):
      whole.add(name)
    texts.setdefault(name, []).extend(found)
  if not texts:
    raise FileError(f"{path} holds no references")
  empty = 0
  for name, found in texts.items():
    kept = [text for text in found if text.strip()]
    if not kept:
      raise FileError(f"{path}: {name!r} has no reference that is not empty; give one or leave it"
                      " out of both files")  # fmt: skip
    empty += len(found) - len(kept)
    texts[name] = kept
  notes = [f"{empty} empty references are left out"] if empty else []
  return Texts(texts, notes)


def read_hypotheses(path: Path | str) -> Texts:
  """The texts that a system wrote for each sample, best first; mostly one.

  An empty text is allowed, and so is null, for a picture that a system dropped.

  Raises:
    FileError: missing, damaged or of no known format; an id stands twice.
  """
  texts: dict[str, list[str]] = {}
  dropped = set()
  for place, name, value in _entries(Path(path), HYPOTHESIS_KEYS):
    if name in texts:
      raise FileError(f"{place}: {name!r} has a hypothesis already; give one for each id")
    found = _texts(place, name, "" if value is None else value)
    if not found:
      raise FileError(f'{place}: the list of hypotheses of {name!r} is empty; "" writes nothing')
    texts[name] = found
    if value is None:
      dropped.add(name)
  if not texts:
    raise FileError(f"{path} holds no hypotheses")
  empty = sum(not found[0].strip() for found in texts.values())
  which = f"{empty} of {len(texts)} hypotheses in {Path(path).name} are empty"
  return Texts(texts, [which] if empty else [], frozenset(dropped))


def read_columns(path: Path | str, keys: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
  """(id, strings of `keys`) of each row of a file.

  Raises:
    FileError: missing, damaged or of no known format; a row lacks one of the keys.
  """
  columns = [list(_entries(Path(path), (key,))) for key in keys]
  rows = []
  for entries in zip(*columns):
    for place, name, value in entries:
      if not isinstance(value, str):
        raise FileError(f"{place}: of {name!r} {json.dumps(value)[:40]} is not a string")
    rows.append((entries[0][1], tuple(value for _, _, value in entries)))
  return rows


def align(
    references: dict[str, list[str]], hypotheses: dict[str, list[str]]
) -> tuple[list[str], list[list[str]], list[list[str]]]:
  """(ids, references, hypotheses) of the same samples, in the order of the references.

  Ids of AI Challenger's reference files are hashes of those in submissions and are undone.

  Raises:
    FileError: the files are not about the same samples.
  """
  if references.keys() != hypotheses.keys():
    hashed = {challenger_id(name): name for name in hypotheses}
    if references.keys() == hashed.keys():
      references = {hashed[name]: found for name, found in references.items()}
  only = [references.keys() - hypotheses.keys(), hypotheses.keys() - references.keys()]
  if any(only):
    sides = [
        f"{len(names)} only in the {side} ({_some(names)})"
        for names, side in zip(only, ("references", "hypotheses")) if names
    ]  # fmt: skip
    raise FileError(
        f"the ids differ: {' and '.join(sides)}; {len(references.keys() & hypotheses.keys())} are"
        " in both. Give a hypothesis for each reference, an empty one where nothing was written"
    )
  return list(references), list(references.values()), [hypotheses[n] for n in references]


def challenger_id(name: str) -> str:
  """The number that stands for a picture's name in AI Challenger's reference files."""
  return str(int(hashlib.sha256(name.encode()).hexdigest(), 16) % _AIC_MODULUS)


def _some(names: Iterable[str]) -> str:
  few = sorted(names)
  return ", ".join(few[:5]) + (", ..." if len(few) > 5 else "")


def _texts(place: str, name: str, value: Any) -> list[str]:
  """Texts of an entry: a string, or a list of strings or of {"caption": string}."""
  found = value if isinstance(value, list) else [value]
  found = [t["caption"] if isinstance(t, dict) and "caption" in t else t for t in found]
  for text in found:
    if not isinstance(text, str):
      shown = json.dumps(text, ensure_ascii=True)[:40]
      raise FileError(f"{place}: the text of {name!r} is {shown}, not a string")
    if len(text) > MAX_CHARACTERS:
      raise FileError(f"{place}: the text of {name!r} has {len(text):,} characters; at most"
                      f" {MAX_CHARACTERS:,} are scored: is it one caption or formula?")  # fmt: skip
    if "\0" in text:
      raise FileError(f"{place}: the text of {name!r} holds a NUL character; remove it")
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
      raise FileError(f"{place}: the text of {name!r} holds half a surrogate pair; write UTF-8")
  return found


def _entries(path: Path, text_keys: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
  """(where it stands, id, value) of each entry of a file."""
  content = _read(path)
  kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
  if kind in ("csv", "tsv"):
    yield from _table(path, content, kind, text_keys)
    return
  if kind not in ("jsonl", "ndjson"):
    try:
      value = _parse(str(path), content)
    except json.JSONDecodeError as e:
      # A second value behind the first: JSON lines under another name.
      if not e.msg.startswith("Extra data") or "\n" not in content.strip():
        raise FileError(f"{path}, line {e.lineno}: not JSON ({e.msg})") from e
    else:
      yield from _json(path, value, text_keys)
      return
  for number, line in enumerate(content.split("\n"), 1):
    if line.strip():
      place = f"{path}, line {number}"
      try:
        row = _parse(place, line)
      except json.JSONDecodeError as e:
        raise FileError(f"{place}: not JSON ({e.msg})") from e
      yield _row(place, row, text_keys)


def _read(path: Path) -> str:
  try:
    data = path.read_bytes()
    if path.suffix == ".gz":
      data = gzip.decompress(data)
  except FileNotFoundError as e:
    raise FileError(f"{path}: no such file") from e
  except IsADirectoryError as e:
    raise FileError(f"{path}: a folder; give a file") from e
  except (OSError, EOFError, zlib.error) as e:
    raise FileError(f"{path}: cannot be read ({e})") from e
  try:
    content = data.decode("utf-8-sig")
  except UnicodeDecodeError as e:
    line = data[: e.start].count(b"\n") + 1
    raise FileError(f"{path}, line {line}: not UTF-8; convert it, e.g. iconv -t UTF-8") from e
  if not content.strip():
    raise FileError(f"{path}: the file is empty")
  if "\0" in content:
    line = content[: content.index("\0")].count("\n") + 1
    raise FileError(f"{path}, line {line}: holds a NUL byte: not a text file, or damaged")
  return content


def _parse(place: str, content: str) -> Any:
  try:
    return json.loads(content, object_pairs_hook=_once)
  except json.JSONDecodeError:
    raise
  except (ValueError, RecursionError) as e:  # a number of thousands of digits; deep nonsense
    raise FileError(f"{place}: {e}") from e


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """An object; of a name that stands twice, the first would be lost in silence."""
  out = dict(pairs)
  if len(out) != len(pairs):
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    raise FileError(f"{_some(twice)} stands twice in one object; leave one")
  return out


def _json(path: Path, value: Any, text_keys: tuple[str, ...]) -> Iterator[tuple[str, str, Any]]:
  if isinstance(value, dict) and isinstance(value.get("annotations"), list):
    value = value["annotations"]
  if isinstance(value, dict):
    for name, found in value.items():
      yield str(path), name, found
  elif isinstance(value, list):
    for i, row in enumerate(value):
      yield _row(f"{path}, entry {i + 1}", row, text_keys)
  else:
    raise FileError(f"{path}: holds {type(value).__name__}, not an object or a list")


def _row(place: str, row: Any, text_keys: tuple[str, ...]) -> tuple[str, str, Any]:
  if not isinstance(row, dict):
    raise FileError(f'{place}: not an object such as {{"id": 1, "caption": "..."}}')
  return place, _id(place, row), row[_key(place, row, text_keys)]


def _id(place: str, row: dict[str, Any]) -> str:
  key = _key(place, row, ID_KEYS)
  name = row[key]
  if isinstance(name, bool) or not isinstance(name, int | str) or name == "":
    raise FileError(f"{place}: the id is {json.dumps(name)[:40]}; give a string or a whole number")
  if key == "image":  # without what stands behind its first dot, as FineCapEval has it
    return str(name).split(".")[0]
  picture = _PICTURE.fullmatch(str(name))
  return picture[1] if picture else str(name)


def _key(place: str, row: Iterable[str], keys: tuple[str, ...]) -> str:
  row = list(row)
  for key in keys:
    if key in row:
      return key
  raise FileError(f"{place}: has none of {', '.join(keys)} but {', '.join(map(str, row))[:80]}")


def _table(
    path: Path, content: str, kind: str, text_keys: tuple[str, ...]
) -> Iterator[tuple[str, str, Any]]:
  """Rows of a table: a line of names above, or an id and a text in each line."""
  if kind == "csv":
    rows = csv.reader(io.StringIO(content, newline=""), strict=True)
  else:  # a quotation mark in a caption is one
    rows = csv.reader(io.StringIO(content, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
  names: list[str] | None = None
  try:
    for cells in rows:
      place = f"{path}, line {rows.line_num}"
      if not cells:
        continue
      if names is None:
        header = [cell.strip() for cell in cells]
        if set(header) & set(ID_KEYS) and set(header) & set(text_keys):
          names = header
          continue
        names = ["id", "text"]
      if len(cells) != len(names):
        raise FileError(f"{place}: {len(cells)} cells, not {len(names)} ({', '.join(names)});"
                        " quote a text that holds the separator")  # fmt: skip
      yield _row(place, dict(zip(names, cells)), text_keys)
  except csv.Error as e:
    raise FileError(f"{path}, line {rows.line_num}: {e}") from e
