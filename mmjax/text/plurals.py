"""Plurals of English nouns, by the rules of spelling and a short list of exceptions."""

import functools
import re

_IRREGULAR = dict(
    child="children", foot="feet", goose="geese", louse="lice", man="men", mouse="mice", ox="oxen",
    tooth="teeth", woman="women", person="persons",
    calf="calves", half="halves", knife="knives", leaf="leaves", life="lives", loaf="loaves",
    scarf="scarves", shelf="shelves", thief="thieves", wife="wives", wolf="wolves",
    buffalo="buffaloes", hero="heroes", mango="mangoes", mosquito="mosquitoes", potato="potatoes",
    tomato="tomatoes", volcano="volcanoes", quiz="quizzes",
    axe="axes", brownie="brownies", cookie="cookies", hoodie="hoodies", magpie="magpies",
    movie="movies", smoothie="smoothies", zombie="zombies",
)  # fmt: skip
# One form for both; or a plural without a singular; or a singular that ends like a plural.
_SAME = """
  aircraft asparagus atlas axis bass bias binoculars bison boss brass bread buffalo bus canvas
  cattle chess chopsticks christmas circus class clothes clothing compass cosmetics cress
  cross cutlass deer dress earrings elk equipment fish focus food fries furniture gas glass
  glasses goggles goods grass gymnastics harness headphones hippopotamus hovercraft iris jeans
  kiss lens luggage mass mattress moose news octopus overalls pajamas pants pelvis platypus
  pliers press pus pyjamas rhinoceros salmon scissors series shears sheep shorts shrimp skates
  spacecraft species squid stairs sunglasses swiss tennis tights triceratops trousers trout
  tweezers virus walrus watercraft"""
# Those that have a plural nevertheless: buses, dresses.
_ENDS_IN_S = """
  asparagus atlas bass boss bus canvas circus class compass cross cutlass dress gas glass
  harness hippopotamus iris kiss lens mass mattress octopus platypus press rhinoceros
  virus walrus"""
_MEN = re.compile(r"(?<!hu)(?<!ger)(?<!ro)man$")


def plural(noun: str) -> str:
  """The plural of a lower-case noun; the noun itself where it has no other form."""
  if noun in _IRREGULAR:
    return _IRREGULAR[noun]
  if noun in _one_form() and noun not in _ends_in_s():
    return noun
  if _MEN.search(noun):  # snowman
    return noun[:-2] + "en"
  if re.search(r"[^aeiou]y$", noun):
    return noun[:-1] + "ies"
  if re.search(r"(s|x|z|ch|sh)$", noun):
    return noun + "es"
  return noun + "s"


def singular(noun: str) -> str:
  """The singular of a lower-case noun, which may be one already."""
  if noun in _one_form():
    return noun
  if noun in _singulars():
    return _singulars()[noun]
  if noun.endswith("men") and _MEN.search(noun[:-2] + "an"):
    return noun[:-2] + "an"
  if re.search(r"[^aeiou]ies$", noun) and len(noun) > 4:  # but ties
    return noun[:-3] + "y"
  if re.search(r"(ss|x|zz|ch|sh)es$", noun):
    return noun[:-2]
  if noun.endswith("s") and not re.search(r"(ss|us)$", noun) and len(noun) > 2:
    return noun[:-1]
  return noun


@functools.cache
def _one_form() -> frozenset[str]:
  return frozenset(_SAME.split())


@functools.cache
def _ends_in_s() -> frozenset[str]:
  return frozenset(_ENDS_IN_S.split())


@functools.cache
def _singulars() -> dict[str, str]:
  regular = {noun + "es": noun for noun in _ends_in_s() - {"glass"}}  # glasses are to see with
  return regular | {many: one for one, many in _IRREGULAR.items()}
