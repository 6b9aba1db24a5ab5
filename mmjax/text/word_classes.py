"""Kinds of words, roughly: what a caption names, does, describes and counts.

English words are looked up in short lists, made for descriptions of photographs, and their endings
are read where no list has them; a word that is left over counts as a noun. Chinese words have the
part of speech of jieba's dictionary. Either is one class a word, whatever its sentence: "play"
counts as a verb in "a school play". It shows where a model errs, it is no tagger.
"""

import functools
import re

from mmjax.text import chinese

CLASSES = ("noun", "verb", "adjective", "colour", "number", "function word", "other")

_COLOURS = {
  "en": """red orange yellow green blue purple violet pink brown black white gray grey tan beige
    blond blonde brunette golden gold silver maroon turquoise teal navy colored coloured colorful
    colourful multicolored dark light bright""",
  "zh": """红 橙 黄 绿 蓝 紫 粉 粉红 棕 褐 黑 白 灰 金 银 黑白 彩 米 青 花 五颜六色 浅 深 蓝白 红白
    深蓝 浅蓝 深色 浅色 天蓝 墨绿 枣红 橘""",
}
_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve twenty dozen
  hundred first second third couple several few many both single pair half another"""
_FUNCTION = """a an the this that these those some any each every all no not and or but nor so as if
  while when where which who whose whom what how than then there here of in on at by to from into
  onto with without over under above below behind beside besides between among around across along
  through throughout during against toward towards near off out up down away about after before
  inside outside next front back top it its he she they them him her his hers their theirs i me my
  we us our you your himself herself itself themselves others other is are was were be been being am
  has have had having do does did doing can could will would may might must should also just very
  too only upon amongst atop past like because until for"""
_ADJECTIVES = """young old older elderly little small large big huge tall short long wide narrow
  high low deep shallow new wet dry dirty muddy sandy grassy rocky snowy snow-covered icy sunny
  cloudy open closed empty full busy crowded happy sad smiling smiley bare shirtless barefoot asian
  african male female black-haired hairy furry fluffy shaggy curly spotted striped plaid wooden
  metal plastic concrete paved bald thin fat heavy beautiful pretty cute funny strange different
  same similar various outdoor indoor public professional middle middle-aged round square steep
  tan-colored red-haired asleep alone together fast slow hard soft cold hot warm dressed pregnant
  nearby distant far close left right upside ready several-story american shiny calm rough sharp
  tiny giant"""
_VERBS = """run walk sit stand jump play hold wear look watch ride climb swim throw catch kick hit
  take make get go come leap lie lay sleep eat drink chew bite carry pull push drag drive fly fall
  dance sing smile laugh talk speak pose show lean reach dig wade splash surf ski skate snowboard
  skateboard slide swing race chase fetch wrestle fight grab raise lift point touch kiss hug feed
  read write paint draw perform work wait rest relax gather follow lead enter leave cross turn spin
  flip bend crouch kneel squat dive paddle row sail fish hike bike cycle camp cook sell buy shop
  use put give try attempt prepare practice compete tackle dribble shoot score serve bat pitch
  dress cover surround fill approach stare gaze peer face hang balance perch travel roll crawl blow
  bark lick sniff shake roam jog sprint bounce toss pass block celebrate cheer stretch exercise
  seem appear help let keep stay move stop start begin land emerge rush tug tie open"""
# Nouns that end like verbs or adjectives.
_NOUNS = """building clothing ceiling railing evening morning wedding ring king string thing
  something anything nothing everything wing spring painting crossing opening awning landing
  bedding clearing earring boxing parking siding lighting ending bed shed sled red field shield
  seed weed feed speed head bread bus grass glass dress mattress harness canvas tennis christmas
  toy city party baby lady puppy family country army belly body pony berry buggy alley valley
  monkey jersey hockey trolley hay day way boy fly sky tree table bottle bicycle motorcycle
  vehicle obstacle people couple man men woman women child children foot feet person player dancer
  river water"""
_IRREGULAR = """ran sat stood held wore rode swam threw caught hit took made got went came lay slept
  ate drank bit drove flew fell sang spoke shown led left spun bent dove dug fed fought hung lit
  shot slid stuck swung taken thrown won worn written lying tying dying swimming running sitting"""


def word_class(word: str, language: str) -> str:
  """The class, one of `CLASSES`, of a lower-case word of a caption in `en` or `zh`.

  Raises:
    ValueError: another language.
  """
  if language not in _COLOURS:
    raise ValueError(f"no word classes of language {language!r}; there are: en, zh")
  return _english(word) if language == "en" else _chinese(word)


@functools.lru_cache(maxsize=50_000)
def _english(word: str) -> str:
  for name, words in _lists().items():
    if word in words:
      return name
  if re.fullmatch(r"[\d.,]+(st|nd|rd|th|s)?", word):
    return "number"
  if not word[:1].isalpha():
    return "other"
  if len(word) > 4 and word.endswith(("ing", "ed")):
    return "verb"
  if len(word) > 4 and word.endswith(("ish", "ous", "ful", "less", "ive", "able", "ic")):
    return "adjective"
  return "noun"


@functools.cache
def _lists() -> dict[str, frozenset[str]]:
  """Words of each class; the first class that has a word counts."""
  forms = {form for verb in _VERBS.split() for form in _inflected(verb)}
  return {
    "colour": frozenset(_COLOURS["en"].split()),
    "number": frozenset(_NUMBERS.split()),
    "function word": frozenset(_FUNCTION.split()),
    "adjective": frozenset(_ADJECTIVES.split()),
    "noun": frozenset(_NOUNS.split()),
    "verb": frozenset((*forms, *_IRREGULAR.split())),
  }


def _inflected(verb: str) -> tuple[str, ...]:
  """The regular forms of an English verb, and some that nobody writes."""
  stem = verb.removesuffix("e")
  twice = verb + verb[-1]
  third = verb + "es" if verb.endswith(("s", "sh", "ch", "x", "o")) else verb + "s"
  out = (verb, third, stem + "ing", stem + "ed", twice + "ing", twice + "ed")
  return (*out, verb[:-1] + "ies", verb[:-1] + "ied") if verb.endswith("y") else out


def _chinese(word: str) -> str:
  if word in _chinese_colours():
    return "colour"
  tag = chinese.part_of_speech(word)
  if tag in ("m", "mq", "q"):
    return "number"
  kinds = {"n": "noun", "s": "noun", "f": "function word", "v": "verb",
           "a": "adjective", "z": "adjective", "b": "adjective", "i": "adjective", "l": "other"}
  function = ("c", "d", "p", "r", "u", "y", "e", "h", "k", "o")
  return "function word" if tag[:1] in function else kinds.get(tag[:1], "other")


@functools.cache
def _chinese_colours() -> frozenset[str]:
  return frozenset(c + end for c in _COLOURS["zh"].split() for end in ("", "色", "色的"))
