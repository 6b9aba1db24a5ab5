"""The report of an evaluation on formulas: one HTML file with scores, curves and samples."""

import dataclasses
import difflib
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

from mmjax.report import document
from mmjax.report.curves import Curve
from mmjax.report.overlay import on_paper, overlay
from mmjax.report.wording import format_value

_STEP_BOX = (480, 128)  # width, height
_EM = 0.17  # pixels of a hundredth of the print's font size
_LONGEST_TYPESET = 200  # tokens; longer ones are repetitions nobody reads


@dataclasses.dataclass(frozen=True)
class Sample:
  """A picture, what it says, and what the model wrote.

  Attributes:
    id: its name in the data set.
    picture: grey values, ink in either polarity.
    reference: tokens joined by blanks; None where nobody knows what the picture says.
    hypothesis: likewise; None where the model gave no answer.
    score: of the hypothesis, by the model.
    distance: errors in tokens; 0 counts as right.
    attention: for each of `tokens` the weights of the cells (see `overlay`), or None.
    tokens: what was written at each step of `attention`.
    others: further hypotheses with their scores, best first.
  """

  id: str
  picture: UInt8[np.ndarray, "H W"]
  reference: str | None
  hypothesis: str | None
  score: float
  distance: int
  attention: Float[np.ndarray, "T h w"] | None
  tokens: tuple[str, ...]
  others: tuple[tuple[str, float], ...] = ()

  def __post_init__(self):
    if self.attention is not None and len(self.attention) != len(self.tokens):
      raise ValueError(
        f"sample {self.id}: attention of {len(self.attention)} steps for {len(self.tokens)} "
        "tokens; give one map for each token")

  @property
  def right(self) -> bool:
    return None not in (self.reference, self.hypothesis) and self.distance == 0


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
  sections = (document.score_section(report.scores), document.curve_section(report.curves),
              _samples(report.samples))
  page = document.document(report.title, report.subtitle, sections, report.notes)
  path.write_text(page, encoding="utf-8")
  return path


def _samples(samples: Sequence[Sample]) -> str:
  """The cards that fit, with the choice between all, wrong and right ones."""
  glyphs: dict[str, tuple] = {}
  cards = document.fitting(samples, lambda s, seen: card(s, glyphs, seen), attention)
  right = sum(s.right for s in samples[:len(cards)])
  said = """Tokens that differ are marked: those of the
reference that were missed are <mark class="missed">underlined</mark>, those written wrongly are
<mark class="wrong">dashed</mark>."""
  groups = {"wrong": len(cards) - right, "right": right}
  return document.sample_section(cards, len(samples), said, groups, shapes(glyphs))


def card(sample: Sample, glyphs: dict[str, tuple], seen: str) -> str:
  """The card of a sample, with the HTML of its attention; adds to `glyphs` what it draws."""
  verdict = "right" if sample.right else "wrong"
  errors = f"{sample.distance} error{'s' if sample.distance != 1 else ''}"
  badge = "right" if sample.right else "no answer" if sample.hypothesis is None else errors
  if sample.reference is None:
    verdict = badge = ""
  score = "" if sample.hypothesis is None else f"score {format_value('score', sample.score)}"
  reference, written = (sample.reference or "").split(), (sample.hypothesis or "").split()
  missed, wrong = _differences(reference, written)
  if not written:
    wrong = '<span class="quiet">nothing</span>'
  if sample.reference is None:
    texts = [("Formula", written, escape(" ".join(written)))]
  elif written == reference:
    texts = [("Reference and prediction agree", reference, missed)]
  else:
    texts = [("Reference", reference, missed), ("Prediction", written, wrong)]
  rows = "".join(
    f'<div><dt>{title}</dt><dd>{typeset(tokens, glyphs)}<p class="tokens">{marked}</p></dd></div>'
    for title, tokens, marked in texts)
  beam = "".join(
    f'<li>{escape(text)} <span class="quiet">{format_value("score", value)}</span></li>'
    for text, value in sample.others)
  if beam:
    rows += f'<div><dt>Beam</dt><dd><ol class="tokens" start="2">{beam}</ol></dd></div>'
  picture = document.shrunk(on_paper(sample.picture), document.PICTURE_BOX)
  return f"""<article class="card {verdict}">
<h3>{escape(sample.id)}{f'<span class="badge">{badge}</span>' if badge else ""}
<span class="quiet">{score}</span></h3>
<div class="body">
<div class="picture">{document.drawing(picture, f"picture of sample {sample.id}")}</div>
<dl class="texts">{rows}</dl>
</div>
{seen}
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


def typeset(tokens: Sequence[str], glyphs: dict[str, tuple]) -> str:
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


def shapes(glyphs: dict[str, tuple]) -> str:
  """The outlines that `typeset` has used, as SVG."""
  return "".join(f'<path id="{k}" d="{_path(*v)}"/>' for k, v in glyphs.items())


def attention(sample: Sample, opened: bool) -> str:
  """The picture once for each token, tinted where the model looked; "" without attention."""
  if sample.attention is None or not sample.tokens:
    return ""
  looks = []
  for token, weights in zip(sample.tokens, sample.attention):
    picture = document.shrunk(overlay(sample.picture, weights), _STEP_BOX)
    looks.append((document.drawing(picture, f"attention while writing {token}"), token))
  return document.strip(looks, opened=opened)
