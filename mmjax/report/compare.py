r"""Runs side by side as one page: scores, curves, where they differ, what each gets wrong.

  python -m mmjax.report.compare W1 W2 [W3 ...] --output=FILE [--split=SPLIT]

Each workdir must have been evaluated (--mode=evaluate) on a common split.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from mmjax.report import document, formula_errors, page
from mmjax.report.curves import Curve
from mmjax.report.runs import Row, Run, RunError, read_runs
from mmjax.report.word_errors import PLURALS, word_errors
from mmjax.report.wording import format_value, label
from mmjax.text import captions

_SAMPLES = 30
_PAIRS = 12
_CURVES = ("loss", "exprate", "ser", "cider", "bleu_4", "meteor", "rouge_l")
_FIRST = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l")
_FALLING = ("ser", "normalised_ser", "loss")  # scores of which the lowest is best
_NO_SCORES = ("cider_d", "cider_plain", "pictures", "dropped", "step")


def main(arguments: Sequence[str] | None = None) -> int:
  """Writes the page; exit code 0, or 2 with the reason on standard error."""
  parser = argparse.ArgumentParser(
    "python -m mmjax.report.compare", description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("workdirs", nargs="+", type=Path, metavar="WORKDIR")
  parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the page")
  parser.add_argument("--split", default="", help="of samples and errors; default validation")
  given = parser.parse_args(arguments)
  try:
    runs, split = read_runs(given.workdirs, given.split)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(comparison(runs, split), encoding="utf-8")
  except (RunError, OSError) as e:
    print(f"error: {e}", file=sys.stderr)
    return 2
  print(given.output)
  return 0


def comparison(runs: Sequence[Run], split: str) -> str:
  """The page on runs, whose predictions are of `split`."""
  shared = _shared(runs)
  splits = [s for s in runs[0].scores if all(s in run.scores for run in runs)]
  splits.sort(key=lambda s: s != split)
  glyphs: dict[str, tuple] = {}
  sections = [
    _section("Scores", *(f"<h3>{escape(s)}</h3>{_scores(runs, s)}" for s in splits)),
    document.curve_section(_curves(runs)),
  ]
  if not shared:
    sections.append('<section><h2>Samples</h2><p class="quiet">The runs share no picture with the '
                    "same references, so nothing more can be compared.</p></section>")
  elif runs[0].language:
    sections += [_words(runs, shared), _samples(runs, shared, glyphs)]
  else:
    sections += [_formulas(runs, shared), _confusions(runs, shared), _samples(runs, shared, glyphs)]
  sections.append(f'<svg width="0" height="0" aria-hidden="true"><defs>{page.shapes(glyphs)}'
                  "</defs></svg>" if glyphs else "")
  names = " and ".join(run.name for run in runs) if len(runs) == 2 else f"{len(runs)} runs"
  about = {run.name: f"{run.model} on {run.data}" + (f", {run.language}" if run.language else "")
           for run in runs}
  subtitle = f"samples and errors: {split}"
  return document.document(f"Comparison of {names}", subtitle, sections, about)


def _references(row: Row) -> list[str]:
  return row["references"] if "references" in row else [row["reference"]]


def _shared(runs: Sequence[Run]) -> list[str]:
  """Ids of the pictures that all runs have, with the same references."""
  first, *rest = runs
  return [id for id, row in first.rows.items()
          if all(id in r.rows and _references(r.rows[id]) == _references(row) for r in rest)]


def _scores(runs: Sequence[Run], split: str) -> str:
  """The table of a split; the best score of a row is bold where they differ."""
  found = [run.scores[split] for run in runs]
  names = [n for n in dict.fromkeys((*_FIRST, *(n for f in found for n in f)))
           if n not in _NO_SCORES and any(n in f for f in found)]
  rows = []
  for name in names:
    values = [f[name] for f in found if name in f]
    best = min(values) if name in _FALLING else max(values)
    cells = []
    for f in found:
      text = format_value(name, f[name]) if name in f else "–"
      differ = len(set(values)) > 1
      cells.append(f"<strong>{text}</strong>" if differ and f.get(name) == best else text)
    rows.append((escape(label(name)), *cells))
  rows += [(name, *(f"{f[name]:,}" if name in f else "–" for f in found))
           for name in ("pictures", "dropped", "step")]
  head = ("Score", *(escape(run.name) for run in runs))
  return document.table(head, rows)


def _curves(runs: Sequence[Run]) -> list[Curve]:
  """Of each number the curves of all runs, which a drawing each shows."""
  out = []
  wanted = {"train/loss": "train loss", "validation/loss": "validation loss"}
  wanted |= {f"validation/{name}": name for name in _CURVES if name != "loss"}
  for name, group in wanted.items():
    for run in runs:
      points = run.curves.get(name, [])
      out.append(Curve(f"{run.name}/{group}", [s for s, _ in points], [v for _, v in points]))
  return out


def _rates(runs: Sequence[Run], shared: Sequence[str], count: Callable, first: str) -> str:
  """ExpRate of each run on each kind of formulas."""
  references = [runs[0].rows[id]["reference"].split() for id in shared]
  rates = [count(references, [run.rows[id]["distance"] == 0 for id in shared]) for run in runs]
  rows = [(kind, f"{rates[0][kind].formulas:,}",
           *(format_value("exprate", r[kind].right / r[kind].formulas) for r in rates))
          for kind in rates[0]]
  return document.table((first, "formulas", *(escape(run.name) for run in runs)), rows)


def _formulas(runs: Sequence[Run], shared: Sequence[str]) -> str:
  structure = _rates(runs, shared, formula_errors.by_structure, "ExpRate with")
  length = _rates(runs, shared, formula_errors.by_length, "ExpRate of")
  return _section("Kinds of formulas", structure, length,
                  said="A formula counts in each structure that it has.")


def _confusions(runs: Sequence[Run], shared: Sequence[str]) -> str:
  """The most frequent errors of tokens over all runs, and how often each run makes them."""
  references = [runs[0].rows[id]["reference"].split() for id in shared]
  counts = [
    formula_errors.confusions(
      references, [(run.rows[id]["hypothesis"] or "").split() for id in shared])
    for run in runs]
  total: Counter = sum(counts, Counter())
  heads = tuple(escape(run.name) for run in runs)

  def tabled(title: str, wanted: Callable[[tuple[str, str]], bool], name: Callable) -> str:
    pairs = sorted((p for p in total if wanted(p)), key=lambda p: (-total[p], p))[:_PAIRS]
    rows = [(name(*p), *(f"{c[p]:,}" for c in counts)) for p in pairs]
    return document.table((title, *heads), rows) if rows else ""

  token = lambda t: f"<code>{escape(t)}</code>"
  nothing = formula_errors.NOTHING
  return _section(
    "Tokens that are confused",
    tabled("There, and what was written", lambda p: nothing not in p,
           lambda a, b: f"{token(a)} → {token(b)}"),
    tabled("Left out", lambda p: p[1] == nothing, lambda a, _: token(a)),
    tabled("Added", lambda p: p[0] == nothing, lambda _, b: token(b)),
    said="By a shortest edit from reference to prediction.")


def _words(runs: Sequence[Run], shared: Sequence[str]) -> str:
  """How many words of each class are wrong in each run."""
  language = runs[0].language
  references = [_references(runs[0].rows[id]) for id in shared]
  # The words of English stand apart already, <unk> among them.
  split = str.split if language == "en" else captions.language(language).words
  errors = []
  for run in runs:
    written = [run.rows[id]["hypothesis"] for id in shared]
    words = [None if text is None else split(text) for text in written]
    errors.append(word_errors(shared, words, references, language))
  tables = []
  for title, of in (("Written, in no reference", "extra"),
                    ("In most references, not written", "missed")):  # fmt: skip
    counts = [{name: sum(map(len, found.values())) for name, found in getattr(e, of).items()}
              for e in errors]
    rows = [(PLURALS[name], *(f"{c[name]:,}" for c in counts))
            for name in PLURALS if any(c[name] for c in counts)]
    tables.append(document.table((title, *(escape(run.name) for run in runs)), rows))
  return _section("Words", *tables, said="Classes of words are a rough guess.")


def _samples(runs: Sequence[Run], shared: Sequence[str], glyphs: dict[str, tuple]) -> str:
  """The pictures on which the best and the worst run are farthest apart."""
  value = _caption_value if runs[0].language else _formula_value
  of = {id: [value(run.rows[id]) for run in runs] for id in shared}
  apart = sorted(shared, key=lambda id: min(of[id]) - max(of[id]))
  cards = [_card(id, runs, of[id], glyphs) for id in apart[:_SAMPLES] if len(set(of[id])) > 1]
  if not cards:
    return ""
  differ = sum(len(set(values)) > 1 for values in of.values())
  return f"""<section class="samples"><h2>Where they differ most</h2>
<p class="quiet">{len(cards):,} of {differ:,} pictures that the runs read unequally well, of
{len(shared):,}.</p>
<div class="cards">{"".join(cards)}</div>
</section>"""


def _caption_value(row: Row) -> float:
  return row.get("cider", 0.0)


def _formula_value(row: Row) -> float:
  """0 if right, else minus the errors for each token of the reference."""
  return -row["distance"] / max(len(row["reference"].split()), 1)


def _card(
    id: str, runs: Sequence[Run], values: Sequence[float], glyphs: dict[str, tuple]
) -> str:
  references = _references(runs[0].rows[id])
  language = runs[0].language
  texts = [] if language else [("Reference", references[0], "")]
  order = sorted(range(len(runs)), key=lambda i: -values[i])
  for i in order:
    row = runs[i].rows[id]
    if language:
      said = f"CIDEr {format_value('cider', values[i])}" if "cider" in row else ""
    else:
      errors = row["distance"]
      said = f"{errors} error{'s' if errors != 1 else ''}" if errors else "right"
    texts.append((runs[i].name, row["hypothesis"], said))
  rows = "".join(
    f'<div><dt>{escape(name)} <span class="badge {_verdict(said)}">{said}</span></dt>'
    f"<dd>{_shown(text, language, glyphs)}</dd></div>" if said else
    f"<div><dt>{escape(name)}</dt><dd>{_shown(text, language, glyphs)}</dd></div>"
    for name, text, said in texts)
  people = "".join(f"<li>{escape(text)}</li>" for text in references) if language else ""
  listed = f'<div><dt>References</dt><dd><ul lang="{language}">{people}</ul></dd></div>'
  return f"""<article class="card compared"><h3>{escape(id)}</h3>
<dl class="texts">{rows}{listed if people else ""}</dl>
</article>
"""


def _verdict(said: str) -> str:
  return "" if said.startswith("CIDEr") else "good" if said == "right" else "bad"


def _shown(text: str | None, language: str, glyphs: dict[str, tuple]) -> str:
  if not text:
    return '<span class="quiet">nothing</span>'
  if language:
    return f'<span class="caption" lang="{language}">{escape(text)}</span>'
  tokens = text.split()
  return f'{page.typeset(tokens, glyphs)}<p class="tokens">{escape(text)}</p>'


def _section(title: str, *tables: str, said: str = "") -> str:
  boxes = "".join(f"<div>{t}</div>" for t in tables if t)
  note = f'<p class="quiet">{said}</p>' if said else ""
  return f"""<section><h2>{escape(title)}</h2>{note}<div class="tables">{boxes}</div></section>"""


if __name__ == "__main__":
  sys.exit(main())
