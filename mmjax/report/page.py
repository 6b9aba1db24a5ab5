"""The report of an evaluation: one HTML file with scores, curves, pictures and attention."""

import base64
import dataclasses
import difflib
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path as Outline
from matplotlib.textpath import text_to_path
from numpy.typing import ArrayLike
from PIL import Image

from mmjax.report.curves import Curve, draw_curves, format_value
from mmjax.report.overlay import on_paper, overlay

_MOST_CARDS = 200
_MOST_STRIPS = 40  # cards with attention
_STRIPS_BYTES = 3_000_000  # of the cards, after which attention is left out
_CARDS_BYTES = 4_500_000  # of the cards, after which samples are left out
_PICTURE_BOX = (960, 480)  # width, height that pictures are shrunk to
_STEP_BOX = (480, 128)
_EM = 0.17  # pixels of a hundredth of the print's font size
_LONGEST_TYPESET = 200  # tokens; longer ones are repetitions nobody reads
_LABELS = {
  "exprate": "ExpRate",
  "exprate_1": "ExpRate, at most 1 error",
  "exprate_2": "ExpRate, at most 2 errors",
  "ser": "Symbol error rate",
}


@dataclasses.dataclass(frozen=True)
class Sample:
  """A picture, what it says, and what the model wrote.

  Attributes:
    id: its name in the data set.
    picture: grey values, ink in either polarity.
    reference, hypothesis: tokens joined by blanks; None where the model gave no answer.
    score: of the hypothesis, by the model.
    distance: errors in tokens; 0 counts as right.
    attention: for each of `tokens` the weights of the cells (see `overlay`), or None.
    tokens: what was written at each step of `attention`.
  """

  id: str
  picture: UInt8[np.ndarray, "H W"]
  reference: str
  hypothesis: str | None
  score: float
  distance: int
  attention: Float[np.ndarray, "T h w"] | None
  tokens: tuple[str, ...]

  def __post_init__(self):
    if self.attention is not None and len(self.attention) != len(self.tokens):
      raise ValueError(
        f"sample {self.id}: attention of {len(self.attention)} steps for {len(self.tokens)} "
        "tokens; give one map for each token")

  @property
  def right(self) -> bool:
    return self.hypothesis is not None and self.distance == 0


@dataclasses.dataclass(frozen=True)
class Report:
  """What the page shows, in this order; the first of `scores` is the headline."""

  title: str
  subtitle: str
  scores: dict[str, float]
  samples: tuple[Sample, ...]
  curves: tuple[Curve, ...]
  notes: dict[str, str]


def write_report(folder: Path, report: Report) -> Path:
  """Writes `report.html`, self-contained and under 5 MB, into `folder`, which is made if need be.

  It shows the first 200 samples, attention for the first 40 that have it, and less of both where
  the page would grow too large; it says how many samples it shows.
  """
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / "report.html"
  path.write_text(_page(report), encoding="utf-8")
  return path


def _page(report: Report) -> str:
  drawn = draw_curves(report.curves)
  curves = f'<section><h2>Training</h2><div class="curves">{drawn}</div></section>' if drawn else ""
  notes = "".join(
    f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in report.notes.items())
  return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(report.title)}</h1>
<p class="subtitle">{escape(report.subtitle)}</p>
</header>
<main>
{_scores(report.scores)}
{curves}
{_samples(report.samples)}
</main>
{f"<footer><h2>About this run</h2><dl>{notes}</dl></footer>" if notes else ""}
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _scores(scores: dict[str, float]) -> str:
  """The headline and the table; scores named `normalised_...` form a column of their own."""
  if not scores:
    return ""
  prefix = "normalised_"
  columns = ["", prefix] if any(k.startswith(prefix) for k in scores) else [""]
  titles = ["As written", "Normalised"] if len(columns) > 1 else ["Value"]
  heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
  label = lambda name: escape(_LABELS.get(name, name.replace("_", " ")))
  rows = []
  for name in dict.fromkeys(k.removeprefix(prefix) for k in scores):
    keys = [c + name for c in columns]
    values = [format_value(k, scores[k]) if k in scores else "" for k in keys]
    cells = "".join(f"<td>{v}</td>" for v in values)
    rows.append(f'<tr><th scope="row">{label(name)}</th>{cells}</tr>')
  first = next(iter(scores))
  return f"""<section class="scores">
<p class="headline"><strong>{format_value(first, scores[first])}</strong>
<span>{label(first)}</span></p>
<table>
<thead><tr><th scope="col">Score</th>{heads}</tr></thead>
<tbody>{"".join(rows)}</tbody>
</table>
</section>"""


def _samples(samples: Sequence[Sample]) -> str:
  """The cards that fit, with the choice between all, wrong and right ones."""
  cards, used, strips = [], 0, 0
  glyphs: dict[str, tuple] = {}
  for sample in samples[:_MOST_CARDS]:
    attention = ""
    if strips < _MOST_STRIPS and used < _STRIPS_BYTES:
      attention = _attention(sample, opened=not strips)
      attention = attention if used + len(attention) < _CARDS_BYTES else ""
      strips += attention != ""
    card = _card(sample, glyphs, attention)
    used += len(card.encode())
    if used > _CARDS_BYTES:
      break
    cards.append(card)
  if not cards:
    return '<section><h2>Samples</h2><p class="quiet">This report has no samples.</p></section>'
  right = sum(s.right for s in samples[:len(cards)])
  counts = {"all": len(cards), "wrong": len(cards) - right, "right": right}
  choices = "".join(
    f'<input type="radio" name="show" id="show-{k}"{" checked" if k == "all" else ""}>'
    f'<label for="show-{k}">{k.capitalize()} <span>{n}</span></label>' for k, n in counts.items())
  left_out = f" of {len(samples):,}" if len(cards) < len(samples) else ""
  shapes = "".join(f'<path id="{k}" d="{_path(*v)}"/>' for k, v in glyphs.items())
  return f"""<section class="samples"><h2>Samples</h2>
<p class="quiet">{len(cards):,}{left_out} shown. Tokens that differ are marked: those of the
reference that were missed are <mark class="missed">underlined</mark>, those written wrongly are
<mark class="wrong">dashed</mark>.</p>
{choices}
<div class="cards">{"".join(cards)}</div>
<svg width="0" height="0" aria-hidden="true"><defs>{shapes}</defs></svg>
</section>"""


def _card(sample: Sample, glyphs: dict[str, tuple], attention: str) -> str:
  verdict = "right" if sample.right else "wrong"
  errors = f"{sample.distance} error{'s' if sample.distance != 1 else ''}"
  badge = "right" if sample.right else "no answer" if sample.hypothesis is None else errors
  score = "" if sample.hypothesis is None else f"score {format_value('score', sample.score)}"
  reference, written = sample.reference.split(), (sample.hypothesis or "").split()
  missed, wrong = _differences(reference, written)
  if not written:
    wrong = '<span class="quiet">nothing</span>'
  if written == reference:
    texts = [("Reference and prediction agree", reference, missed)]
  else:
    texts = [("Reference", reference, missed), ("Prediction", written, wrong)]
  rows = "".join(
    f'<div><dt>{title}</dt><dd>{_typeset(tokens, glyphs)}<p class="tokens">{marked}</p></dd></div>'
    for title, tokens, marked in texts)
  picture = _shrunk(on_paper(sample.picture), _PICTURE_BOX)
  return f"""<article class="card {verdict}">
<h3>{escape(sample.id)}<span class="badge">{badge}</span><span class="quiet">{score}</span></h3>
<div class="body">
<div class="picture">{_image(picture, f"picture of sample {sample.id}")}</div>
<dl class="texts">{rows}</dl>
</div>
{attention}
</article>
"""


def _differences(reference: Sequence[str], written: Sequence[str]) -> tuple[str, str]:
  """Both sides as HTML, the runs that differ marked, and in `written` where tokens are missing."""
  blocks = difflib.SequenceMatcher(None, reference, written, autojunk=False).get_opcodes()
  missed, wrong = [], []
  for kind, i, j, k, m in blocks:
    left, right = (escape(" ".join(run)) for run in (reference[i:j], written[k:m]))
    if kind == "equal":
      missed.append(left)
      wrong.append(right)
      continue
    if left:
      missed.append(f'<mark class="missed">{left}</mark>')
    if right:
      wrong.append(f'<mark class="wrong">{right}</mark>')
    else:
      tokens = f"{j - i} token{'s' if j - i > 1 else ''} missing here"
      wrong.append(f'<span class="gap" role="img" aria-label="{tokens}" title="{tokens}"></span>')
  return " ".join(missed), " ".join(wrong)


def _typeset(tokens: Sequence[str], glyphs: dict[str, tuple]) -> str:
  """The tokens in print, "" where they are no formula that can be drawn; adds to `glyphs`."""
  # Words of a caption are no formula, though they could be drawn as one.
  symbols = all(t.isascii() and t != "$" and (len(t) == 1 or t[0] == "\\") for t in tokens)
  if not symbols or not 0 < len(tokens) <= _LONGEST_TYPESET:
    return ""
  # Blanks only where a command would run into a letter: before a script they would detach it.
  formula = re.sub(" (?![A-Za-z])", "", " ".join(t for t in tokens if t != r"\limits"))
  font = FontProperties(size=text_to_path.FONT_SCALE, math_fontfamily="cm")
  try:
    extent = text_to_path.get_text_width_height_descent(f"${formula}$", font, ismath=True)
    placed, outlines, bars = text_to_path.get_glyphs_mathtext(font, f"${formula}$")
  except (ValueError, RecursionError):  # a model may write what is no formula
    return ""
  glyphs.update(outlines)
  width, height, depth = (float(length) for length in extent)
  parts = [f'<path d="{_path(*bar)}"/>' for bar in bars]
  for glyph, x, y, scale in placed:
    place = f"translate({x:.1f} {y:.1f}) scale({scale:.3g})"
    parts.append(f'<use href="#{glyph}" transform="{place}"/>')
  return (
    f'<p class="print"><svg role="img" aria-label="in print: {escape(" ".join(tokens))}" '
    f'width="{_EM * width:.1f}" height="{_EM * height:.1f}" '
    f'viewBox="0 {depth - height:.1f} {width:.1f} {height:.1f}">'
    f'<g transform="scale(1 -1)">{"".join(parts)}</g></svg></p>')


def _path(vertices: ArrayLike, codes: ArrayLike) -> str:
  """An outline as SVG path data."""
  letters = {Outline.MOVETO: "M", Outline.LINETO: "L", Outline.CURVE3: "Q", Outline.CURVE4: "C"}
  out = []
  for points, code in Outline(vertices, codes).iter_segments(simplify=False):
    out.append(letters[code] + " ".join(f"{v:.1f}" for v in points) if code in letters else "Z")
  return "".join(out)


def _attention(sample: Sample, *, opened: bool) -> str:
  """The picture once for each token, tinted where the model looked; "" without attention."""
  if sample.attention is None or not sample.tokens:
    return ""
  steps = []
  for token, weights in zip(sample.tokens, sample.attention):
    picture = _shrunk(overlay(sample.picture, weights), _STEP_BOX)
    image = _image(picture, f"attention while writing {token}")
    steps.append(f"<figure>{image}<figcaption>{escape(token)}</figcaption></figure>")
  return f"""<details class="attention"{" open" if opened else ""}>
<summary>Attention, {len(steps)} step{'s' if len(steps) != 1 else ''}</summary>
<div class="closer" hidden>
<label>Step <input type="range" min="0" max="{len(steps) - 1}" value="0"></label><output></output>
<div class="stage"></div>
</div>
<div class="strip">{"".join(steps)}</div>
</details>"""


def _shrunk(picture: np.ndarray, box: tuple[int, int]) -> np.ndarray:
  """The picture made small enough for `box` (width, height)."""
  image = Image.fromarray(picture)
  image.thumbnail(box)
  return np.asarray(image)


def _image(picture: np.ndarray, alt: str) -> str:
  """An `<img>` that holds its PNG; colours are reduced to 48."""
  image, data = Image.fromarray(picture), io.BytesIO()
  if image.mode == "RGB":
    image = image.quantize(48, dither=Image.Dither.NONE)
  image.save(data, "PNG")
  source = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
  return f'<img src="{source}" alt="{escape(alt)}">'


_STYLE = """
:root { --ink: #1c2126; --quiet: #59626c; --line: #dfe3e8; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1080px; padding: 40px 24px 64px; color: var(--ink);
  background: #f7f8f9; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0; font-size: 26px; line-height: 1.25; font-weight: 650; }
h2 { margin: 40px 0 12px; font-size: 18px; font-weight: 650; }
p.subtitle { margin: 4px 0 0; }
.subtitle, .quiet { color: var(--quiet); font-weight: 400; }
.scores { display: flex; flex-wrap: wrap; gap: 24px 56px; align-items: center;
  margin-top: 28px; padding: 24px 28px; }
.headline { display: grid; margin: 0; color: var(--quiet); }
.headline strong { color: var(--ink); font-size: 50px; line-height: 1.1; font-weight: 650; }
table { flex: 1 1 300px; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 6px 0 6px 20px; border-bottom: 1px solid var(--line); text-align: right; }
th { font-weight: 400; }
th:first-child { padding-left: 0; text-align: left; }
thead th, dt { color: var(--quiet); font-size: 13px; }
tbody tr:last-child > * { border-bottom: 0; }
.scores, .curve, .card { background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 16px; }
.curve { width: 100%; max-width: 640px; padding: 12px; }
.samples > input { position: absolute; opacity: 0; }
.samples > label { display: inline-block; margin: 4px 8px 16px 0; padding: 4px 14px;
  background: #fff; border: 1px solid #b9c1ca; border-radius: 999px; cursor: pointer; }
.samples > label span { color: var(--quiet); font-variant-numeric: tabular-nums; }
.samples > input:checked + label, .samples > input:checked + label span { color: #fff;
  background: var(--accent); border-color: var(--accent); }
.samples > input:focus-visible + label { outline: 2px solid var(--accent); outline-offset: 2px; }
#show-wrong:checked ~ .cards .right, #show-right:checked ~ .cards .card.wrong { display: none; }
.card { margin-bottom: 16px; padding: 16px 20px 18px; }
h3 { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 12px; margin: 0 0 12px;
  font-size: 14px; font-weight: 600; overflow-wrap: anywhere; }
h3 .quiet { margin-left: auto; font-size: 13px; font-variant-numeric: tabular-nums; }
.badge { padding: 0 9px; border-radius: 999px; font-size: 13px; font-weight: 500;
  color: #8c1d18; background: #fbe7e5; }
.right .badge { color: #14532d; background: #e2f3e8; }
.body { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 12px 28px; }
.picture, figure { align-self: start; margin: 0; padding: 6px; text-align: center;
  border: 1px solid var(--line); border-radius: 6px; }
.picture img { max-width: 100%; max-height: 150px; vertical-align: middle; }
dl, dd, .texts p { margin: 0; }
.texts { display: grid; gap: 12px; align-content: start; }
.print { overflow-x: auto; padding: 5px 0; line-height: 0; }
mark { padding: 1px 3px; border-radius: 3px; color: inherit; }
mark.missed { background: #dcebfb; border-bottom: 2px solid #1f5fa8; }
mark.wrong { background: #fde3df; border-bottom: 2px dashed #b3261e; }
.gap { display: inline-block; padding: 6px 4px; border: 1px dashed #b3261e; vertical-align: -2px; }
.attention { margin-top: 14px; padding-top: 10px; border-top: 1px solid var(--line); }
summary { color: var(--accent); font-size: 14px; cursor: pointer; }
.closer input { width: 220px; max-width: 60%; vertical-align: middle; accent-color: var(--accent); }
.tokens, output, figcaption { font: 13px/1.7 ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
output { margin-left: 8px; padding: 1px 8px; background: #eef1f4; border-radius: 4px; }
.closer { margin-top: 10px; font-size: 14px; }
.stage img { width: min(100%, 640px); max-height: 170px; margin: 10px 0;
  object-fit: contain; object-position: left; }
.strip { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 10px; max-height: 460px;
  overflow-y: auto; }
figure.shown { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
.strip img { height: 48px; max-width: 170px; object-fit: contain; vertical-align: middle; }
figcaption { font-size: 12px; }
footer div { display: flex; flex-wrap: wrap; gap: 0 16px; padding: 5px 0; font-size: 14px;
  border-bottom: 1px solid var(--line); }
footer dt { flex: 0 0 150px; }
footer dd { flex: 1 1 240px; overflow-wrap: anywhere; }
@media (max-width: 700px) { body { padding: 24px 16px 48px; }
  .body { grid-template-columns: minmax(0, 1fr); } }
"""

# Slider and hover choose the step that is shown large; without scripts the strip alone remains.
_SCRIPT = """
for (const box of document.querySelectorAll('.attention')) {
  const steps = [...box.querySelectorAll('figure')];
  const slider = box.querySelector('input');
  const large = new Image();
  box.querySelector('.stage').append(large);
  const show = i => {
    slider.value = i;
    const picture = steps[i].querySelector('img');
    large.src = picture.src;
    large.alt = picture.alt;
    box.querySelector('output').textContent = steps[i].querySelector('figcaption').textContent;
    steps.forEach((s, j) => s.classList.toggle('shown', i === j));
  };
  slider.addEventListener('input', () => show(+slider.value));
  steps.forEach((s, i) => s.addEventListener('mouseenter', () => show(i)));
  box.querySelector('.closer').hidden = false;
  show(0);
}
"""
