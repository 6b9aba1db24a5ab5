"""Random formulas of a small grammar in the manner of CROHME, as caption tokens."""

import numpy as np

DIGITS = tuple("0123456789")
LETTERS = ("a", "b", "n", "x", "y")
OPERATORS = ("+", "-", r"\div")
RELATIONS = ("=", "<", r"\leq")
BRACKETS = (("(", ")"), ("[", "]"))
STRUCTURE = (r"\frac", r"\sqrt", r"\sum", "_", "^", "{", "}")

# The weights of the grammar: relative within a table, probabilities where a single number.
FACTORS = {"symbol": 0.66, "scripts": 0.18, "fraction": 0.055, "root": 0.05, "sum": 0.025,
           "bracket": 0.03}
COMPOUND_WHEN_NESTED = 0.3  # all but symbols are rarer by this, once for each level of nesting
MOST_NESTED = 2  # deeper than this there are only symbols
SYMBOLS = {"letter": 0.45, "digit": 0.45, "two digits": 0.10}
SCRIPTS = {"sub": 0.35, "sup": 0.45, "both": 0.20}
TERMS_OUTSIDE = {1: 0.60, 2: 0.33, 3: 0.07}  # of each side of a relation
TERMS_INSIDE = {1: 0.75, 2: 0.25}  # of a numerator, a radicand
FACTORS_OF_TERM = {1: 0.80, 2: 0.20}
RELATION = 0.20  # probability of a second side
ROOT_INDEX = 0.30
SUM_FROM = 0.60  # probability of a lower limit `n = 1` rather than `n`


def words() -> tuple[str, ...]:
  """All that `generate` can write, in a fixed order."""
  return (*DIGITS, *LETTERS, *OPERATORS, *RELATIONS, *(b for pair in BRACKETS for b in pair),
          *STRUCTURE)


def generate(rng: np.random.Generator, max_tokens: int) -> list[str]:
  """One formula of 1 to `max_tokens` tokens; formulas that come out longer are drawn anew."""
  if max_tokens < 1:
    raise ValueError(f"max_tokens is {max_tokens}; a formula has at least 1 token")
  while True:
    tokens = _side(rng)
    if rng.random() < RELATION:
      tokens += [_one(rng, RELATIONS), *_side(rng)]
    if len(tokens) <= max_tokens:
      return tokens


def _side(rng: np.random.Generator) -> list[str]:
  return _sum_of_terms(rng, TERMS_OUTSIDE, depth=0)


def _sum_of_terms(rng: np.random.Generator, counts: dict[int, float], depth: int) -> list[str]:
  tokens = _term(rng, depth)
  for _ in range(_pick(rng, counts) - 1):
    tokens += [_one(rng, OPERATORS), *_term(rng, depth)]
  return tokens


def _term(rng: np.random.Generator, depth: int) -> list[str]:
  tokens = _factor(rng, depth)
  for _ in range(_pick(rng, FACTORS_OF_TERM) - 1):
    factor = _factor(rng, depth)
    # A number after a number would read as one, a superscript before a root as its index.
    unclear = factor[0] in DIGITS or (factor[0] == r"\sqrt" and "^" in tokens)
    tokens += [_one(rng, LETTERS)] if unclear else factor
  return tokens


def _factor(rng: np.random.Generator, depth: int) -> list[str]:
  rarer = COMPOUND_WHEN_NESTED**depth if depth <= MOST_NESTED else 0.0
  weights = {k: w if k == "symbol" else w * rarer for k, w in FACTORS.items()}
  match _pick(rng, weights):
    case "symbol":
      return _symbol(rng)
    case "scripts":
      return _scripts(rng, depth)
    case "fraction":
      return [r"\frac", *_inside(rng, depth), *_inside(rng, depth)]
    case "root":
      index = ["[", _one(rng, (*DIGITS[2:], *LETTERS)), "]"] if rng.random() < ROOT_INDEX else []
      return [r"\sqrt", *index, *_inside(rng, depth)]
    case "sum":
      start = ["=", _one(rng, DIGITS)] if rng.random() < SUM_FROM else []
      upper = _one(rng, DIGITS[1:] + LETTERS)
      return [r"\sum", *_braced([_one(rng, LETTERS), *start], "_"), *_braced([upper], "^"),
              *_factor(rng, depth + 1)]
    case _:
      left, right = BRACKETS[rng.integers(len(BRACKETS))]
      terms = {n: w for n, w in TERMS_OUTSIDE.items() if n > 1}
      return [left, *_sum_of_terms(rng, terms, depth + 1), right]


def _scripts(rng: np.random.Generator, depth: int) -> list[str]:
  kind = _pick(rng, SCRIPTS)
  sub = _braced(_symbol(rng), "_") if kind != "sup" else []
  sup = _inside(rng, depth, "^") if kind != "sub" else []
  return [_one(rng, LETTERS if sub else LETTERS + DIGITS), *sub, *sup]


def _symbol(rng: np.random.Generator) -> list[str]:
  match _pick(rng, SYMBOLS):
    case "letter":
      return [_one(rng, LETTERS)]
    case "digit":
      return [_one(rng, DIGITS)]
    case _:
      return [_one(rng, DIGITS[1:]), _one(rng, DIGITS)]


def _inside(rng: np.random.Generator, depth: int, *before: str) -> list[str]:
  return _braced(_sum_of_terms(rng, TERMS_INSIDE, depth + 1), *before)


def _braced(tokens: list[str], *before: str) -> list[str]:
  return [*before, "{", *tokens, "}"]


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
  return choices[rng.integers(len(choices))]


def _pick(rng: np.random.Generator, weights: dict):
  """A key, as often as its weight says."""
  point = rng.random() * sum(weights.values())
  for key, weight in weights.items():
    point -= weight
    if point < 0:
      return key
  return key
