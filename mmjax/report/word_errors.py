"""Which words captions get wrong, by class: written without support, missed, one for another."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from html import escape

from mmjax.metrics.meteor.stemmer import stem
from mmjax.report import document
from mmjax.text import captions
from mmjax.text.word_classes import CLASSES, word_class

MOST = 0.6  # share of a picture's references that a missed word is in: 3 of 5
_CONTENT = ("noun", "verb", "adjective", "colour", "number")
PLURALS = {"noun": "nouns", "verb": "verbs", "adjective": "adjectives", "colour": "colours",
            "number": "numbers", "function word": "function words", "other": "other"}
_SHOWN = 5  # words of a class
_SHOWN_PAIRS = 15
_SHOWN_IDS = 2

Found = dict[str, list[str]]  # a word, and the pictures it is wrong in


@dataclasses.dataclass(frozen=True)
class WordErrors:
  """Words that are wrong in a split, with the pictures.

  Attributes:
    language: of the words.
    pictures: that were compared: they have a hypothesis, and references.
    extra: words written that no reference of the picture has, by class.
    missed: words in most references of a picture that were not written, by class.
    swapped: (written, in the references): pairs of an extra and a missed word of one class in one
      picture; which of several stands for which nobody knows, so all pairs count.
  """

  language: str
  pictures: int
  extra: Mapping[str, Found]
  missed: Mapping[str, Found]
  swapped: Mapping[tuple[str, str], list[str]]


def differences(
    hypothesis: Sequence[str], references: Sequence[Sequence[str]], language: str
) -> tuple[list[str], list[str]]:
  """(extra, missed) words of one picture, each once; see `WordErrors`.

  English words are the same if their stems are: `runs`, `running`. A missed word is written as most
  references write it.
  """
  form: Callable[[str], str] = stem if language == "en" else str
  written = {form(word) for word in hypothesis}
  held = [{form(word) for word in reference} for reference in references]
  times = Counter(key for keys in held for key in keys)
  spelled: dict[str, Counter[str]] = defaultdict(Counter)
  for reference in references:
    for word in reference:
      spelled[form(word)][word] += 1
  extra = [word for word in dict.fromkeys(hypothesis) if form(word) not in times]
  missed = [spelled[key].most_common(1)[0][0] for key in spelled
            if times[key] >= MOST * len(references) and key not in written]
  return extra, missed


def word_errors(
    ids: Sequence[str], hypotheses: Sequence[Sequence[str] | None],
    references: Sequence[Sequence[str]], language: str,
) -> WordErrors:  # fmt: skip
  """The words that are wrong in a split.

  Args:
    ids: of the pictures.
    hypotheses: words of each picture, None where there is no answer.
    references: texts of each picture; they are cut into words as for training.
    language: en or zh.
  """
  words = captions.language(language).words
  extra: dict[str, Found] = {name: defaultdict(list) for name in CLASSES}
  missed: dict[str, Found] = {name: defaultdict(list) for name in CLASSES}
  swapped: dict[tuple[str, str], list[str]] = defaultdict(list)
  pictures = 0
  for id, hypothesis, texts in zip(ids, hypotheses, references):
    if hypothesis is None or not texts:
      continue
    pictures += 1
    wrong, lacking = differences(hypothesis, [words(text) for text in texts], language)
    of_class = {word: word_class(word, language) for word in (*wrong, *lacking)}
    for word in wrong:
      extra[of_class[word]][word].append(id)
    for word in lacking:
      missed[of_class[word]][word].append(id)
    for word in wrong:
      for other in lacking:
        if of_class[word] == of_class[other] and of_class[word] in _CONTENT:
          swapped[word, other].append(id)
  return WordErrors(language, pictures, extra, missed, swapped)


def section(errors: WordErrors, shown: Mapping[str, str]) -> str:
  """The most frequent errors as tables, "" where there are none.

  Args:
    shown: address on this page by id, of the pictures that have one.
  """
  if not any(errors.extra.values()) and not any(errors.missed.values()):
    return ""
  word = lambda text: f'<span lang="{errors.language}">{escape(text)}</span>'
  pairs = sorted(errors.swapped.items(), key=lambda pair: (-len(pair[1]), pair[0]))
  swapped = document.table(
    ("Written", "pictures", "stands in most references", "for example"),
    [(word(a), str(len(ids)), word(b), _examples(ids, shown))
     for (a, b), ids in pairs[:_SHOWN_PAIRS]], prose=2)
  return f"""<section><h2>Words</h2>
<p class="quiet">Of {errors.pictures:,} pictures. Classes of words are a rough guess, by lists or a
dictionary; a word may be right though no reference has it.</p>
<div class="tables">
<div><h3>Written, but in no reference</h3>{_table(errors.extra, word, shown)}</div>
<div><h3>In most references, but not written</h3>{_table(errors.missed, word, shown)}</div>
{f'<div class="wide"><h3>One for another</h3>{swapped}</div>' if pairs else ""}
</div>
</section>"""


def _table(
    found: Mapping[str, Found], word: Callable[[str], str], shown: Mapping[str, str]
) -> str:
  rows = []
  for name in CLASSES:
    words = sorted(found[name].items(), key=lambda pair: (-len(pair[1]), pair[0]))
    total = sum(len(ids) for _, ids in words)
    for i, (text, ids) in enumerate(words[:_SHOWN]):
      heading = f'{PLURALS[name]} <span class="quiet">{total:,}</span>' if not i else ""
      rows.append((heading, str(len(ids)), word(text), _examples(ids, shown)))
  return document.table(("Class", "pictures", "word", "for example"), rows, prose=2)


def _examples(ids: Sequence[str], shown: Mapping[str, str]) -> str:
  """A few ids, first those that are on this page."""
  first = sorted(ids, key=lambda id: id not in shown)[:_SHOWN_IDS]
  return " ".join(
    f'<a class="id" href="{shown[id]}">{escape(id)}</a>' if id in shown
    else f'<span class="id">{escape(id)}</span>' for id in first)
