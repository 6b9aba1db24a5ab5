"""Pieces that pages share: the document itself, scores, cards that fit, pictures, attention."""

import base64
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmjax.report.curves import Curve, draw_curves
from mmjax.report.style import SCRIPT, STYLE
from mmjax.report.wording import format_value, label

PICTURE_BOX = (960, 480)  # width, height that pictures are shrunk to
_MOST_CARDS = 200
_MOST_STRIPS = 40  # cards with attention
_STRIPS_BYTES = 3_000_000  # of the cards, after which attention is left out
_CARDS_BYTES = 4_500_000  # of the cards, after which samples are left out

S = TypeVar("S")


def document(
    title: str, subtitle: str, sections: Iterable[str], notes: Mapping[str, str] = {}
) -> str:
  """A self-contained page; `title`, `subtitle` and `notes` are text, `sections` are HTML."""
  about = "".join(
    f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in notes.items())
  body = "\n".join(section for section in sections if section)
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="subtitle">{escape(subtitle)}</p>
</header>
<main>
{body}
</main>
{f"<footer><h2>About this run</h2><dl>{about}</dl></footer>" if notes else ""}
<script>{SCRIPT}</script>
</body>
</html>
"""


def score_section(scores: Mapping[str, float], unit: str = "") -> str:
  """The headline, the first of `scores`, and a table of all; "" without any.

  Scores named `normalised_...` form a column of their own. `unit` is a line below.
  """
  if not scores:
    return ""
  prefix = "normalised_"
  columns = ["", prefix] if any(k.startswith(prefix) for k in scores) else [""]
  titles = ["As written", "Normalised"] if len(columns) > 1 else ["Value"]
  heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
  rows = []
  for name in dict.fromkeys(k.removeprefix(prefix) for k in scores):
    keys = [c + name for c in columns]
    values = [format_value(k, scores[k]) if k in scores else "" for k in keys]
    cells = "".join(f"<td>{v}</td>" for v in values)
    rows.append(f'<tr><th scope="row">{escape(label(name))}</th>{cells}</tr>')
  first = next(iter(scores))
  return f"""<section class="scores">
<p class="headline"><strong>{format_value(first, scores[first])}</strong>
<span>{escape(label(first))}</span></p>
<table>
<thead><tr><th scope="col">Score</th>{heads}</tr></thead>
<tbody>{"".join(rows)}</tbody>
</table>
{f'<p class="quiet unit">{escape(unit)}</p>' if unit else ""}
</section>"""


def curve_section(curves: Sequence[Curve]) -> str:
  """The curves of training, "" without any."""
  drawn = draw_curves(curves)
  if not drawn:
    return ""
  return f'<section><h2>Training</h2><div class="curves">{drawn}</div></section>'


def fitting(
    samples: Sequence[S], card: Callable[[S, str], str], attention: Callable[[S, bool], str]
) -> list[str]:
  """Cards of the first samples: 200 at most, and so many that the page stays under 5 MB.

  Args:
    card: a card from a sample and the HTML of its attention.
    attention: HTML of a sample's attention, unfolded or not, or "" where it has none; it is shown
      of the first 40 that have it, and of fewer where the page would grow too large.
  """
  cards: list[str] = []
  used = strips = 0
  for sample in samples[:_MOST_CARDS]:
    seen = ""
    if strips < _MOST_STRIPS and used < _STRIPS_BYTES:
      seen = attention(sample, not strips)
      seen = seen if used + len(seen) < _CARDS_BYTES else ""
      strips += seen != ""
    written = card(sample, seen)
    used += len(written.encode())
    if used > _CARDS_BYTES:
      break
    cards.append(written)
  return cards


def sample_section(
    cards: Sequence[str], of: int, said: str, groups: Mapping[str, int], defs: str = ""
) -> str:
  """Cards under a choice between all of them and those of a group.

  Args:
    of: samples that there are; more than cards where some were left out.
    said: HTML of what the reader should know first.
    groups: cards of each group, which is a class of its cards; none: there is no choice.
    defs: SVG shapes that cards use.
  """
  if not cards:
    return '<section><h2>Samples</h2><p class="quiet">This report has no samples.</p></section>'
  counts = {"all": len(cards), **groups} if groups else {}
  choices = "".join(
    f'<input type="radio" name="show" id="show-{k}"{" checked" if k == "all" else ""}>'
    f'<label for="show-{k}">{k.capitalize()} <span>{n}</span></label>' for k, n in counts.items())
  left_out = f" of {of:,}" if len(cards) < of else ""
  shapes = f'<svg width="0" height="0" aria-hidden="true"><defs>{defs}</defs></svg>'
  return f"""<section class="samples"><h2>Samples</h2>
<p class="quiet">{len(cards):,}{left_out} shown. {said}</p>
{choices}
<div class="cards">{"".join(cards)}</div>
{shapes if defs else ""}
</section>"""


def strip(looks: Sequence[tuple[str, str]], *, opened: bool) -> str:
  """What the model looked at, step by step: (HTML of the look, what was written) of each."""
  steps = [f"<figure>{look}<figcaption>{escape(text)}</figcaption></figure>"
           for look, text in looks]
  return f"""<details class="attention"{" open" if opened else ""}>
<summary>Attention, {len(steps)} step{'s' if len(steps) != 1 else ''}</summary>
<div class="closer" hidden>
<label>Step <input type="range" min="0" max="{len(steps) - 1}" value="0"></label><output></output>
<div class="stage"></div>
</div>
<div class="strip">{"".join(steps)}</div>
</details>"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, prose: int = 0) -> str:
  """A table of HTML cells whose first column names the rows; the last `prose` are text."""
  first = len(head) - prose
  kind = lambda i: ' class="prose"' if i >= first else ""
  heads = "".join(f'<th scope="col"{kind(i)}>{cell}</th>' for i, cell in enumerate(head))
  body = "".join(
    f'<tr><th scope="row">{name}</th>'
    + "".join(f"<td{kind(i)}>{cell}</td>" for i, cell in enumerate(cells, 1)) + "</tr>"
    for name, *cells in rows)
  return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def shrunk(picture: UInt8[np.ndarray, "H W *C"], box: tuple[int, int]) -> np.ndarray:
  """The picture made small enough for `box` (width, height)."""
  image = Image.fromarray(picture)
  image.thumbnail(box)
  return np.asarray(image)


def drawing(picture: UInt8[np.ndarray, "H W *C"], alt: str) -> str:
  """An `<img>` that holds its PNG; colours are reduced to 48."""
  image = Image.fromarray(picture)
  if image.mode == "RGB":
    image = image.quantize(48, dither=Image.Dither.NONE)
  return img(data_uri(image, "png"), alt)


def img(source: str, alt: str) -> str:
  """An `<img>` of a data URI."""
  return f'<img src="{source}" alt="{escape(alt)}">'


def data_uri(image: Image.Image, kind: str, **options) -> str:
  """A picture as `png` or `jpeg` in a URI."""
  data = io.BytesIO()
  image.save(data, kind, **options)
  return f"data:image/{kind};base64," + base64.b64encode(data.getvalue()).decode()
