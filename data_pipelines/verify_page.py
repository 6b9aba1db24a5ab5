"""What was found in a data set as one HTML file: pictures with their texts, histograms, tables."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from html import escape

import cv2
import numpy as np
from jaxtyping import Int, UInt8

BINS = 28
BOX = (300, 170)  # width and height that pictures are shrunk to
WIDTH, HEIGHT = 300, 84  # of a histogram
LEFT, BOTTOM, TOP = 4, 18, 6  # of its margins

Table = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclasses.dataclass(frozen=True)
class Shown:
  """A picture, grey [H, W] or RGB [H, W, 3], and its texts."""

  id: str
  picture: UInt8[np.ndarray, "H W *C"]
  texts: tuple[str, ...]


def page(
    title: str,
    about: Mapping[str, str],
    wrong: Sequence[str],
    tables: Sequence[Table],
    measures: Mapping[str, Mapping[str, Int[np.ndarray, "N"]]],
    shown: Mapping[str, Sequence[Shown]],
) -> str:
  """A self-contained page that is read in light and in dark.

  Args:
    about: facts in the order in which they are shown.
    wrong: what fails; none: the data set is sound.
    tables: heading and rows; the last column is prose.
    measures: values of each split for each measure.
    shown: pictures of each split.
  """
  facts = "".join(
      f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in about.items()
  )
  verdict = (
      f'<p class="verdict bad"><strong>{len(wrong)} wrong</strong></p><ul class="wrong">'
      + "".join(f"<li>{escape(w)}</li>" for w in wrong)
      + "</ul>"
      if wrong
      else '<p class="verdict good"><strong>Sound</strong></p>'
  )
  histograms = "".join(_histograms(m, values) for m, values in measures.items())
  sheets = "".join(
      f'<section><h2>{escape(name)} <span class="quiet">{len(items)} pictures</span></h2>'
      f'<div class="sheet">{"".join(map(_card, items))}</div></section>'
      for name, items in shown.items()
      if items
  )
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}: what is in it</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<dl>{facts}</dl>
{verdict}
<section><h2>Sizes <span class="quiet">logarithmic; share of a split's records</span></h2>
<div class="measures">{histograms}</div></section>
<section><h2>Repetitions and words</h2>{"".join(map(_table, tables))}</section>
{sheets}
</body>
</html>
"""


def _table(table: Table) -> str:
  heading, rows = table
  head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heading)
  body = ""
  for first, *rest in rows:
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    body += f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
  return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _histograms(measure: str, values: Mapping[str, Int[np.ndarray, "N"]]) -> str:
  """One drawing for each split, over the same range."""
  low = max(min(int(v.min()) for v in values.values()), 1)
  high = max(max(int(v.max()) for v in values.values()), low + 1)
  edges = np.geomspace(low, high, BINS + 1)
  drawn = "".join(_histogram(measure, name, v, edges) for name, v in values.items())
  return f"<figure><figcaption>{escape(measure)}</figcaption>{drawn}</figure>"


def _histogram(measure: str, name: str, values: Int[np.ndarray, "N"], edges: np.ndarray) -> str:
  shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
  step, floor = (WIDTH - 2 * LEFT) / len(shares), HEIGHT - BOTTOM
  tall = (floor - TOP) / max(shares.max(), 1e-9)
  bars = "".join(
      f'<rect x="{LEFT + i * step:.1f}" y="{floor - s * tall:.1f}" width="{step - 1:.1f}"'
      f' height="{s * tall:.1f}"><title>{_whole(a)} to {_whole(b)}: {s:.1%}</title></rect>'
      for i, (s, a, b) in enumerate(zip(shares, edges, edges[1:]))
      if s
  )
  low, middle, high = (int(x) for x in np.percentile(values, (0, 50, 100)))
  said = f"{measure} of {name}: {low} to {high}, median {middle}"
  return (
      f'<div class="plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
      f' aria-label="{escape(said)}">{bars}<path d="M{LEFT} {floor}H{WIDTH - LEFT}"/>'
      f'<text x="{LEFT}" y="{HEIGHT - 4}">{_whole(edges[0])}</text>'
      f'<text x="{WIDTH - LEFT}" y="{HEIGHT - 4}" text-anchor="end">{_whole(edges[-1])}</text>'
      f"</svg><p>{escape(name)} <span>{low:,} to {high:,}, median {middle:,}</span></p></div>"
  )


def _whole(edge: float) -> str:
  return f"{edge:,.0f}"


def _card(item: Shown) -> str:
  height, width = item.picture.shape[:2]
  texts = "".join(f"<li>{escape(t)}</li>" for t in item.texts)
  return (
      f'<article><div class="picture">{_image(item)}</div>'
      f'<p class="quiet">{escape(item.id)}, {width} x {height}</p><ul>{texts}</ul></article>'
  )


def _image(item: Shown) -> str:
  height, width = item.picture.shape[:2]
  factor = min(BOX[0] / width, BOX[1] / height, 1)
  size = (max(1, round(width * factor)), max(1, round(height * factor)))
  small = cv2.resize(item.picture, size, interpolation=cv2.INTER_AREA)
  if small.ndim == 3:
    kind, data = "jpeg", cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
  else:
    kind, data = "png", cv2.imencode(".png", small)[1]
  source = f"data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode()}"
  return (
      f'<img src="{source}" width="{size[0]}" height="{size[1]}"'
      f' alt="picture of {escape(item.id)}">'
  )


_STYLE = """
:root { --ink: #1c2126; --quiet: #59626c; --line: #dfe3e8; --accent: #1f5fa8; --page: #f7f8f9;
  --card: #fff; --bad: #8c1d18; --bad-page: #fbe7e5; --good: #14532d; --good-page: #e2f3e8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e7eb; --quiet: #9aa5b1; --line: #333b44;
  --accent: #6ea8ea; --page: #14181c; --card: #1d2329; --bad: #f3b0ab; --bad-page: #4a1d1a;
  --good: #a5e0bb; --good-page: #173a26; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 40px 24px 64px; color: var(--ink);
  background: var(--page);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0 0 12px; font-size: 26px; line-height: 1.25; font-weight: 650; }
h2 { margin: 40px 0 12px; font-size: 18px; font-weight: 650; }
.quiet, h2 .quiet { color: var(--quiet); font-weight: 400; font-size: 13px; }
dl { margin: 0; }
dl div { display: flex; flex-wrap: wrap; gap: 0 16px; padding: 3px 0; }
dt { flex: 0 0 110px; color: var(--quiet); }
dd { flex: 1 1 240px; margin: 0; overflow-wrap: anywhere; }
.verdict { display: inline-block; margin: 16px 0 0; padding: 4px 14px; border-radius: 999px; }
.bad { color: var(--bad); background: var(--bad-page); }
.good { color: var(--good); background: var(--good-page); }
.wrong { max-height: 260px; overflow-y: auto; padding-left: 20px; overflow-wrap: anywhere; }
.measures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr));
  gap: 16px; }
figure, article, table { background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
figure { margin: 0; padding: 12px 16px; }
figcaption { font-weight: 600; }
.plot svg { display: block; width: 100%; margin-top: 10px; }
.plot rect { fill: var(--accent); }
.plot path { stroke: var(--line); }
.plot text { font-size: 11px; fill: var(--quiet); }
.plot p { margin: 0; font-size: 13px; }
.plot span { color: var(--quiet); float: right; font-variant-numeric: tabular-nums; }
table { width: 100%; margin-bottom: 16px; padding: 4px 16px; border-spacing: 0;
  font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 6px 24px 6px 0; border-bottom: 1px solid var(--line); text-align: right;
  font-weight: 400; vertical-align: top; white-space: nowrap; }
th:first-child, td:last-child, th:last-child { text-align: left; }
td:last-child { width: 100%; padding-right: 0; white-space: normal; overflow-wrap: anywhere;
  color: var(--quiet); }
thead th { color: var(--quiet); font-size: 13px; }
tbody tr:last-child > * { border-bottom: 0; }
.sheet { columns: 250px; column-gap: 16px; }
article { break-inside: avoid; margin-bottom: 16px; padding: 10px 12px; overflow-wrap: anywhere; }
article p { margin: 6px 0 2px; }
article ul { margin: 0; padding-left: 16px; font-size: 13px; }
article li:only-child { list-style: none; margin-left: -16px;
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.picture { display: grid; place-items: center; padding: 4px; background: #808890;
  border-radius: 6px; }
.picture img { max-width: 100%; height: auto; }
"""
