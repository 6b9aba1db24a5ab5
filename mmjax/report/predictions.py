"""What a model wrote of pictures without references: a file of lines, and a page to look at."""

import dataclasses
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mmjax.infer.predictor import Answer, Predictor
from mmjax.report import captions_page, document, page

_MOST_ATTENTION = 40  # pictures, the first ones: the page shows it of no more
_MOST_PICTURES = 200  # on the page


@dataclasses.dataclass(frozen=True)
class Failed:
  """A picture that could not be read, and why."""

  id: str
  error: str


Sample = page.Sample | captions_page.Sample | Failed


def write_predictions(
    folder: Path, predictor: Predictor, paths: Sequence[Path], answers: Sequence[Answer]
) -> tuple[Path, Path]:
  """Writes `predictions.jsonl`, a line a picture, and `index.html`; their paths.

  A line has `file`, `text`, `score`, and `others`, further hypotheses with their scores; or `file`
  and `error`. The page shows the first pictures, and where the model looked in the first of them.

  Args:
    folder: is made if need be.
    paths: of the pictures, which are read again.
    answers: of each picture.
  """
  folder.mkdir(parents=True, exist_ok=True)
  lines, index = folder / "predictions.jsonl", folder / "index.html"
  with open(lines, "w", encoding="utf-8") as out:
    for path, answer in zip(paths, answers):
      out.write(json.dumps(_row(path, answer), ensure_ascii=False) + "\n")
  index.write_text(_page(predictor, paths, answers), encoding="utf-8")
  return lines, index


def _row(path: Path, answer: Answer) -> dict:
  if answer.error:
    return {"file": str(path), "error": answer.error}
  others = [{"text": text, "score": score} for text, score in answer.others]
  return {"file": str(path), "text": answer.text, "score": answer.score, "others": others}


def _page(predictor: Predictor, paths: Sequence[Path], answers: Sequence[Answer]) -> str:
  samples = _samples(predictor, paths[:_MOST_PICTURES], answers)
  glyphs: dict[str, tuple] = {}
  language = predictor.config.data.get("language", "en")

  def card(sample: Sample, seen: str) -> str:
    if isinstance(sample, Failed):
      return _failed(sample)
    if isinstance(sample, captions_page.Sample):
      return captions_page.card(sample, seen, language)
    return page.card(sample, glyphs, seen)

  def attention(sample: Sample, opened: bool) -> str:
    if isinstance(sample, captions_page.Sample):
      return captions_page.attention(sample, opened)
    return page.attention(sample, opened) if isinstance(sample, page.Sample) else ""

  cards = document.fitting(samples, card, attention)
  failed = sum(bool(a.error) for a in answers)
  subtitle = f"{len(answers):,} picture{'s' if len(answers) != 1 else ''}"
  subtitle += f", {failed:,} of them could not be read" if failed else ""
  config = predictor.config
  what = "Captions" if predictor.photographs else "Formulas"
  title = f"{what} by {config.model.name}, trained on {config.data.name}"
  said = "Scores are of the model: the higher, the surer."
  sections = [document.sample_section(cards, len(paths), said, {}, page.shapes(glyphs))]
  return document.document(title, subtitle, sections)


def _samples(
    predictor: Predictor, paths: Sequence[Path], answers: Sequence[Answer]
) -> list[Sample]:
  read = [i for i in range(len(paths)) if not answers[i].error]
  first = read[:_MOST_ATTENTION]
  pictures = {i: predictor.prepared(paths[i]) for i in first}
  for i in read[_MOST_ATTENTION:]:
    pictures[i] = document.shrunk(predictor.prepared(paths[i]), document.PICTURE_BOX)
  looks = predictor.attention([pictures[i] for i in first], [answers[i].words for i in first])
  seen = {first[n]: look for n, look in looks.items()}
  out: list[Sample] = []
  for i, path in enumerate(paths):
    answer = answers[i]
    if answer.error:
      out.append(Failed(str(path), answer.error))
      continue
    picture, maps = seen.get(i, (pictures[i], None))
    if predictor.photographs:
      out.append(captions_page.Sample(
        str(path), picture, (), answer.text, answer.words, answer.score, {}, answer.others, "",
        maps))
    else:
      tokens = tuple(predictor.task.step_names(answer.words)) if maps is not None else ()
      out.append(page.Sample(
        str(path), picture, None, answer.text, answer.score, 0,
        maps, tokens, answer.others))
  return out


def _failed(sample: Failed) -> str:
  return f"""<article class="card wrong">
<h3>{escape(sample.id)}<span class="badge">not read</span></h3>
<p class="texts">{escape(sample.error)}</p>
</article>
"""
