"""Plurals of English nouns, by the rules of spelling and a short list of exceptions."""

import re

_IRREGULAR = dict(
    child="children", foot="feet", goose="geese", louse="lice", man="men", mouse="mice", ox="oxen",
    tooth="teeth", woman="women", person="persons",
    calf="calves", half="halves", knife="knives", leaf="leaves", life="lives", loaf="loaves",
    scarf="scarves", shelf="shelves", thief="thieves", wife="wives", wolf="wolves",
    buffalo="buffaloes", hero="heroes", mango="mangoes", mosquito="mosquitoes", potato="potatoes",
    tomato="tomatoes", volcano="volcanoes", quiz="quizzes",
    axe="axes", brownie="brownies", cookie="cookies", hoodie="hoodies", magpie="magpies", movie="movies",
    smoothie="smoothies", zombie="zombies",
)  # fmt: skip
# One form for both; or a plural without a singular; or a singular that ends like a plural.
_SAME = frozenset("""
    aircraft bison buffalo cattle deer elk fish furniture hovercraft moose salmon series sheep
    shrimp spacecraft species squid stairs trout watercraft clothing equipment food luggage bread
    asparagus atlas axis bass binoculars bus bias boss brass canvas chess chopsticks christmas
    circus class clothes compass cosmetics cress cross cutlass dress earrings focus fries gas
    glass glasses goggles goods grass gymnastics harness headphones hippopotamus iris jeans
    kiss lens mass mattress news octopus overalls pajamas pelvis pants platypus pliers press pus pyjamas
    rhinoceros scissors shears shorts skates sunglasses swiss tennis tights triceratops
    trousers tweezers virus walrus
    """.split())
# Those that have a plural nevertheless: buses, dresses.
_ENDS_IN_S = frozenset("""
    asparagus atlas bass boss bus canvas circus class compass cross cutlass dress gas glass
    harness hippopotamus iris kiss lens mass mattress octopus platypus press rhinoceros virus walrus
    """.split())
_MEN = re.compile(r"(?<!hu)(?<!ger)(?<!ro)man$")


def plural(noun: str) -> str:
  """The plural of a lower-case noun; the noun itself where it has no other form."""
  if noun in _IRREGULAR:
    return _IRREGULAR[noun]
  if noun in _SAME and noun not in _ENDS_IN_S:
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
  if noun in _SAME:
    return noun
  if noun in _SINGULARS:
    return _SINGULARS[noun]
  if noun.endswith("men") and _MEN.search(noun[:-2] + "an"):
    return noun[:-2] + "an"
  if re.search(r"[^aeiou]ies$", noun) and len(noun) > 4:  # but ties
    return noun[:-3] + "y"
  if re.search(r"(ss|x|zz|ch|sh)es$", noun):
    return noun[:-2]
  if noun.endswith("s") and not re.search(r"(ss|us)$", noun) and len(noun) > 2:
    return noun[:-1]
  return noun


_SINGULARS = {many: one for one, many in _IRREGULAR.items()} | {
    noun + "es": noun for noun in _ENDS_IN_S - {"glass"}
}
