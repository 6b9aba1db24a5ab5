"""The report of an evaluation on captions: scores, curves, words, photographs with attention."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from mmjax.report import document, word_errors
from mmjax.report.curves import Curve
from mmjax.report.overlay import heat
from mmjax.report.word_errors import WordErrors, differences
from mmjax.report.wording import format_value, label
from mmjax.text import captions
from mmjax.text.word_classes import word_class

GROUPS = ("worst", "between", "best")
_PHOTO_BOX = (340, 340)  # width, height that photographs are shrunk to
_JPEG = {"quality": 78, "optimize": True}


@dataclasses.dataclass(frozen=True)
class Sample:
  """A photograph, what people say of it, and what the model wrote.

  Attributes:
    id: its name in the data set.
    picture: RGB.
    references: captions by people; none where nobody knows.
    hypothesis: the caption written; None where the model gave no answer.
    words: of the hypothesis.
    score: of the hypothesis, by the model.
    scores: of the hypothesis, by the references.
    others: further hypotheses with their scores, best first.
    group: one of `GROUPS`, or "" on a page without them.
    attention: of each word and of the end, over cells that cover the picture; or None.
  """

  id: str
  picture: UInt8[np.ndarray, "H W 3"]
  references: tuple[str, ...]
  hypothesis: str | None
  words: tuple[str, ...]
  score: float
  scores: Mapping[str, float]
  others: tuple[tuple[str, float], ...]
  group: str
  attention: Float[np.ndarray, "T h w"] | None

  def __post_init__(self):
    if self.attention is not None and len(self.attention) != len(self.words) + 1:
      raise ValueError(
        f"sample {self.id}: attention of {len(self.attention)} steps for {len(self.words)} words; "
        "give one map for each word and one for the end")


@dataclasses.dataclass(frozen=True)
class Report:
  """What the page shows, in this order; the first of `scores` is the headline.

  `language` is that of the captions; `unit` says what scores count, and how they are written.
  """

  title: str
  subtitle: str
  scores: dict[str, float]
  unit: str
  curves: tuple[Curve, ...]
  samples: tuple[Sample, ...]
  errors: WordErrors
  language: str
  notes: dict[str, str]


def write_report(folder: Path, report: Report) -> Path:
  """Writes `report.html`, self-contained and under 5 MB, into `folder`, which is made if need be.

  As many samples are shown as fit; it says how many there are.
  """
  folder.mkdir(parents=True, exist_ok=True)
  path = folder / "report.html"
  cards = document.fitting(
    report.samples, lambda s, seen: card(s, seen, report.language), attention)
  shown = {s.id: f"#{anchor(s.id)}" for s in report.samples[:len(cards)]}
  said = """Words that no reference has are <mark class="wrong">dashed</mark>; words of most
references that were not written are <mark class="missed">underlined</mark>; function words are
left alone."""
  groups = {g: sum(s.group == g for s in report.samples[:len(cards)]) for g in GROUPS}
  sections = (
    document.score_section(report.scores, report.unit),
    document.curve_section(report.curves),
    word_errors.section(report.errors, shown),
    document.sample_section(cards, len(report.samples), said, groups))
  page = document.document(report.title, report.subtitle, sections, report.notes)
  path.write_text(page, encoding="utf-8")
  return path


def card(sample: Sample, seen: str, language: str) -> str:
  """The card of a sample, with the HTML of its attention."""
  split = captions.language(language).words
  extra, missed = differences(
    sample.words, [split(text) for text in sample.references], language)
  if not sample.references:
    extra = []
  bare = lambda words: [w for w in words if word_class(w, language) != "function word"]
  extra, missed = bare(extra), bare(missed)
  if sample.hypothesis is None:
    written, badge = '<span class="quiet">nothing</span>', "no answer"
  else:
    written = _marked(sample.hypothesis, extra, "wrong", language)
    first = next(iter(sample.scores), None)
    badge = f"{label(first)} {format_value(first, sample.scores[first])}" if first else ""
  rest = list(sample.scores.items())[1:]
  score = "" if sample.hypothesis is None else f"score {format_value('score', sample.score)}"
  references = "".join(
    f"<li>{_marked(text, missed, 'missed', language)}</li>" for text in sample.references)
  beam = "".join(
    f'<li>{escape(text)} <span class="quiet">{format_value("score", value)}</span></li>'
    for text, value in sample.others)
  measured = " · ".join(f"{escape(label(k))} {format_value(k, v)}" for k, v in rest)
  # Chrome reads lang for the choice of fonts and of line breaks.
  lang = f' lang="{escape(language)}"'
  return f"""<article class="card {sample.group}" id="{anchor(sample.id)}">
<h3>{escape(sample.id)}{f'<span class="badge">{escape(badge)}</span>' if badge else ""}
<span class="quiet">{score}</span></h3>
<div class="body">
<div class="photograph">{document.img(_jpeg(sample.picture), f"picture {sample.id}")}</div>
<dl class="texts">
<div><dt>Caption</dt><dd class="caption"{lang}>{written}</dd>
{f'<dd class="quiet measured">{measured}</dd>' if measured else ""}</div>
{f'<div><dt>References</dt><dd><ul{lang}>{references}</ul></dd></div>' if references else ""}
{f'<div><dt>Beam</dt><dd><ol start="2"{lang}>{beam}</ol></dd></div>' if beam else ""}
</dl>
</div>
{seen}
</article>
"""


def attention(sample: Sample, opened: bool) -> str:
  """The photograph once for each word, lit where the model looked; "" without attention."""
  if sample.attention is None:
    return ""
  height, width = sample.picture.shape[:2]
  looks = []
  for word, weights in zip((*sample.words, "end"), sample.attention):
    source = document.data_uri(heat(weights), "png", optimize=True)
    lit = document.img(source, f"attention while writing {word}")
    looks.append((f'<span class="lit">{lit}</span>', word))
  # The photograph is there once, as the ground of every step.
  photograph = f"--photograph: url({_jpeg(sample.picture)}); --shape: {width} / {height}"
  return f'<div style="{photograph}">{document.strip(looks, opened=opened)}</div>'


def anchor(id: str) -> str:
  """The address of a sample on its page, without the number sign."""
  return "sample-" + re.sub(r"[^\w.-]", "_", id)


def _marked(text: str, words: Sequence[str], kind: str, language: str) -> str:
  """`text` as HTML with some of its words marked."""
  if not words:
    return escape(text)
  any_of = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
  alone = rf"(?<!\w)({any_of})(?!\w)" if language == "en" else f"({any_of})"
  parts = re.split(alone, text, flags=re.IGNORECASE)  # marked words stand at odd places
  return "".join(
    f'<mark class="{kind}">{escape(part)}</mark>' if i % 2 else escape(part)
    for i, part in enumerate(parts))


def _jpeg(picture: UInt8[np.ndarray, "H W 3"]) -> str:
  image = Image.fromarray(document.shrunk(picture, _PHOTO_BOX))
  return document.data_uri(image, "jpeg", **_JPEG)
