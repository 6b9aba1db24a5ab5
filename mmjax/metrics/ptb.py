r"""Words of English text as the caption scorers cut them: the Penn Treebank's way.

The scorers of MS COCO (Chen et al., "Microsoft COCO Captions", 2015) tokenise with Stanford's
PTBTokenizer 3.4.1 (`-preserveLines -lowerCase`) and drop punctuation; scores of captions that were
cut otherwise do not compare. Here the same tokens come from the same kind of scanner: of all rules
that match at a place the one that reaches furthest makes the token, the first one of equals.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from mmjax.text.scanner import Scanner

# The official list also names -LRB- and its like; in lower case they are never found, and stay.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])


def tokenize(text: str) -> list[str]:
  """Tokens of one caption: lower case, no punctuation.

  Raises:
    TypeError: not a string.
  """
  return tokenize_all([text])[0]


def tokenize_all(texts: Sequence[str]) -> list[list[str]]:
  """Tokens of captions that are scored together.

  The scorers write all captions into one file, one a line, and a few rules look beyond the end of
  a line: `plan A.` ends in `a.`, but in `a` where the next caption begins with `The`. So a
  caption's last token can depend on the next caption, there and here.

  Args:
    texts: captions. A line break inside one counts as a blank. (The official wrapper does so for
      a newline alone; after any other break it gives captions the tokens of their neighbours.)

  Returns:
    The tokens of each caption.

  Raises:
    TypeError: one of them is not a string, or one string for all.
  """
  if isinstance(texts, str):
    raise TypeError(f"the captions are one string, {texts!r}; give a list, or use `tokenize`")
  for i, text in enumerate(texts):
    if not isinstance(text, str):
      raise TypeError(f"caption {i} is {text!r}, not a string; leave it out or give its text")
  whole = "\n".join(_BREAK_INSIDE.sub(" ", text) for text in texts)
  if _BEYOND_BMP.search(whole):
    # Java's characters are UTF-16 units: two for each of these.
    whole = _BEYOND_BMP.sub(lambda m: "".join(map(chr, _units(m[0]))), whole)
  lines = _lines(whole)
  if _SURROGATE.search(whole):
    lines = [line.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for line in lines]
  words = [line.rstrip().lower().split(" ") if line else [] for line in lines[:len(texts)]]
  return [[word for word in line if word not in PUNCTUATION] for line in words]


def _lines(text: str) -> list[str]:
  """The tokens of each line, with a blank between two, as the tokenizer writes them."""
  lines: list[str] = []
  line: list[str] = []
  match, plain, start = _SCANNER.match, _PLAIN_WORDS.match, 0
  while start < len(text):
    first = text[start]
    if first == " ":
      start += 1
      while start < len(text) and text[start] in _BLANKS:
        start += 1
      continue
    if first == "\n":
      lines.append(" ".join(line))
      line = []
      start += 1
      continue
    if run := plain(text, start):
      start = run.end() - 1
      line.append(text[run.start():start])
      continue
    number, end = match(text, start)
    rule = _RULES[number]
    if rule.ahead:
      ahead = rule.ahead.search(text, start, end)
      assert ahead, "the scanner's match has what must follow at its end"
      end = ahead.start()
    if rule.write:
      token = rule.write(text[start:end])
      if "\n" in token:  # a tag can go on in the next line
        before, *whole, token = token.split("\n")
        lines += [" ".join([*line, before]), *whole]
        line = []
      line.append(token)
    start = end - rule.again
  return [*lines, " ".join(line)]


def _units(char: str) -> tuple[int, int]:
  high, low = divmod(ord(char) - 0x10000, 0x400)
  return 0xD800 + high, 0xDC00 + low


_BREAK_INSIDE = re.compile("[\r\n\v\f\u2028\u2029]")
_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Most of all text, and no rule does anything to it.
_PLAIN_WORDS = re.compile(
  "(?:(?!(?:cannot|gimme|gonna|gotta|lemme|wanna) )[a-z]+ )+", re.ASCII | re.IGNORECASE)


# ---- How tokens are written --------------------------------------------------------------------


def _without_soft_hyphens(token: str) -> str:
  return token.replace("\u00ad", "") or "-"


def _with_hard_blanks(token: str) -> str:
  return token.replace(" ", "\u00a0")


def _with_named_brackets(token: str) -> str:
  return token.replace("(", "-LRB-").replace(")", "-RRB-")


def _with_plain_ampersand(token: str) -> str:
  return re.sub("(?i:&amp;)", "&", token)


def _closing_quote(token: str) -> str:
  return _curly_quotes(token.replace("&apos;", "'").replace('"', "''").replace("&quot;", "''"))


def _opening_quote(token: str) -> str:
  token = token.replace("&apos;", "`").replace("'", "`")
  return _curly_quotes(token.replace('"', "``").replace("&quot;", "``"))


def _curly_quotes(token: str) -> str:
  return token.translate(_QUOTES)


def _fraction(token: str) -> str:
  return _FRACTIONS.get(token, token)


def _currency(token: str) -> str:
  return _CURRENCIES.get(token, token)


def _dashes(token: str) -> str:
  return "--" if len(token) in (3, 4) else token


def _fixed(text: str) -> Callable[[str], str]:
  return lambda token: text


_QUOTES = str.maketrans(
  dict.fromkeys("\x91\u2018\u201b\u2039", "`") | dict.fromkeys("\x92\u2019\u203a", "'")
  | dict.fromkeys("\x93\u201c\u00ab", "``") | dict.fromkeys("\x94\u201d\u00bb", "''"))
_FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_CURRENCIES = {"¢": "cents", "£": "#"} | dict.fromkeys("\x80¤₠€", "$")


# ---- Characters --------------------------------------------------------------------------------


def _ranges(codes: str) -> str:
  """The inside of a class from numbers and ranges in hexadecimal."""
  parts = [part.split("-") for part in codes.split()]
  return "".join("-".join(f"\\u{int(code, 16):04x}" for code in part) for part in parts)


def _members(test: Callable[[str], bool]) -> str:
  """The inside of a class: the characters of the Basic Multilingual Plane that pass a test."""
  codes = [i for i in range(0x10000) if test(chr(i))]
  starts = [c for c, before in zip(codes, [-2, *codes]) if c != before + 1]
  ends = [c for c, after in zip(codes, [*codes[1:], -2]) if c != after - 1]
  return "".join(f"\\u{a:04x}-\\u{b:04x}" for a, b in zip(starts, ends))


# The tokenizer knows Unicode 6.2; letters that came later lie in these ranges.
_LATER_LETTERS = re.compile("[" + _ranges("""
  37e-385 528-530 55a-560 588-5cf 5eb-5ef 859-89f 8a1 8ad-903 978 980-984 9f2-a04 ae2-b04 c34
  c5a-c5f c62-c84 cbe-cdd cf3-d04 d4f-d5f e85-e86 e89 e8b-e8c e8e-e93 e98 ea0 ea8-ea9 eac
  13f5-1400 16eb-16ff 170d 1712-171f 1878-187f 191d-194f 19ac-19c0 19c8-19ff 1b4c-1b82 1c7e-1ce8
  1cf2-1cf4 1cf7-1cff 2c2f 2c5f 312e-3130 31bb-31ef 4db6-4dff 9fcd-9fff a698-a69f a78f a794-a79f
  a7ab-a7f7 a8fc-a909 a9d0-a9ff aa7b-aa7f ab2f-abbf""") + "]")
_LATER_DIGITS = re.compile("[" + _ranges("de6-def a9f0-a9f9") + "]")


def _is_letter(char: str) -> bool:
  return (char.isalpha() or char in "\u1885\u1886") and not _LATER_LETTERS.match(char)


def _is_capital(char: str) -> bool:
  return char.isupper() and not char.isascii() and not "\u13a0" <= char <= "\u13f5" and (
    _is_letter(char) or "\u2160" <= char <= "\u216f" or "\u24b6" <= char <= "\u24cf")


_L = _members(_is_letter)
_D = _members(lambda c: c.isdecimal() and not _LATER_DIGITS.match(c))
_CAPITAL = "[A-Z" + _members(_is_capital) + "]"
_LETTER, _DIGIT, _LETTER_OR_DIGIT = f"[{_L}]", f"[{_D}]", f"[{_L}{_D}]"
# Soft hyphen, accents and vowel signs: parts of words that are not letters by themselves.
_MARKS = _ranges("""
  ad 2c2-2c5 2d2-2df 2e5-2eb 2ed 2ef-36f 375 378-379 384-385 3f6 483-487 55a-55f 591-5bd 5bf
  5c1-5c2 5c4-5c5 5c7 615-61a 64b-65e 670 6d6-6e4 6e7-6ed 6fd-6fe 70f 711 730-74c 7a6-7b0 7eb-7f3
  900-903 93c 93e-94e 951-955 962-963 981-983 9bc 9be-9c4 9c7-9c8 9cb-9cd 9d7 9e2-9e3 a01-a03 a3c
  a3e-a4f a81-a83 abc abe-acf b82 bbe-bc2 bc6-bc8 bca-bcd c01-c03 c3e-c56 d3e-d44 d46-d48 e31
  e34-e3a e47-e4e eb1 eb4-ebc ec8-ecd""")
_SYMBOL = r"[%+&~^|\\" + _ranges("""
  a1 a6-a9 ac ae-b4 b6-b9 bf d7 f7 37e 387 589 5be 5c0 5c3 5c6 5f3-5f4 600-603 606-60a 60c 614 61b
  61e-61f 66a 66d 6d4 700-70d 7f6-7f8 964-965 e4f 1fbd 2016-2017 2020-2023 2030-2038 203b
  203e-2042 2044 207a-207e 208a-208e 2100-214f 2190-2bff 3002 3012 30fb ff01-ff0f ff1a-ff20
  ff3b-ff40 ff5b-ff65""") + "]"
_BLANKS = " \t\u00a0\u3000" + "".join(map(chr, range(0x2000, 0x200b)))
_BLANK = f"[{_BLANKS}]"
_BREAK = "(?:\r|\r?\n|[\u2028\u2029\v\f\x85])"
_GAP = f"(?:{_BLANK}|{_BREAK})"


# ---- Patterns ----------------------------------------------------------------------------------


def _either_case(pattern: str) -> str:
  """The pattern with both cases of each letter; what stands in brackets is kept as it is."""
  also = {"i": "\u0130\u0131", "k": "\u212a", "s": "\u017f"}
  parts = re.split(r"(\[[^\]]*\]|\\.)", pattern)
  for i in range(0, len(parts), 2):
    parts[i] = re.sub("[a-z]", lambda m: f"[{m[0]}{m[0].upper()}{also.get(m[0], '')}]", parts[i])
  return "".join(parts)


def _any_of(words: str) -> str:
  """One of words in either case."""
  return "(?:" + _either_case("|".join(words.split())) + ")"


def _entity(names: str) -> str:
  return f"&{_any_of(names)};"


_WORD_PART = f"(?:[{_L}{_MARKS}]|&[aeiouAEIOU]{_any_of('acute grave uml')};)"
_WORD_REST = f"{_WORD_PART}(?:{_WORD_PART}|{_DIGIT})*"
_WORD = f"{_WORD_REST}(?:[.!?]{_WORD_REST})*"
_APOSTROPHE = f"(?:['\x92\u2019]|{_entity('apos')})"
_INNER_APOSTROPHE = f"(?:{_APOSTROPHE}|[`\x91\u2018\u201b])"
_SUFFIX = f"{_APOSTROPHE}(?:[dDmMsS]|{_any_of('ll re ve')})"  # he'd, I'm, it's
_NOT = f"[nN]{_INNER_APOSTROPHE}[tT]"
_APOSTROPHE_WORDS = "|".join([
  f"{_APOSTROPHE}[nN]{_APOSTROPHE}?", f"[oO]{_INNER_APOSTROPHE}[oO]", f"[dDjJlL]{_APOSTROPHE}",
  _any_of("dunkin somethin ol") + _APOSTROPHE, _APOSTROPHE + _any_of("cause em till?"),
  _APOSTROPHE + "[2-9]0" + _any_of("s"),
  f"[A-HJ-XZn]{_INNER_APOSTROPHE}{_LETTER}{_LETTER}+",  # O'Brien
  f"{_LETTER}+[aeiouyAEIOUY]{_INNER_APOSTROPHE}[aeiouA-Z]{_LETTER}*",
  _any_of(r"cont'd\.? nor'easter c'mon e'er s'mores ev'ry li'l nat'l")])

_NUMBER = f"[-+]?(?:{_DIGIT}+|{_DIGIT}*(?:[.:,\u00ad\u066b\u066c]{_DIGIT}+)+)"
_DATE = f"{_DIGIT}{{1,2}}[-/]{_DIGIT}{{1,2}}[-/]{_DIGIT}{{2,4}}"
_QUOTIENT = f"(?:{_DIGIT}{{1,4}}[- \u00a0])?{_DIGIT}{{1,4}}(?:\\\\?/|\u2044){_DIGIT}{{1,4}}"
_RAISED = "[\u207a\u207b\u208a\u208b]?(?:[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+|[\u2080-\u2089]+)"
_PHONE = (
  r"(?:\([0-9]{2,3}\)[ \u00a0]?|(?:\+\+?)?(?:[0-9]{2,4}[- \u00a0])?[0-9]{2,4}[- \u00a0])"
  r"[0-9]{3,4}[- \u00a0]?[0-9]{3,5}"
  r"|(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}")

_HYPHEN = "[-_\u058a\u2010\u2011]"
_ELIDED = f"(?:[dDlLoO]{_INNER_APOSTROPHE}{_LETTER_OR_DIGIT})?{_LETTER_OR_DIGIT}+"  # d'Artagnan
_COMPOUND = f"{_ELIDED}(?:{_HYPHEN}{_ELIDED})*"
_UNION_STATE = (
  _any_of("canada eu japan korean non sino") + "-" + _any_of(r"u\.s") + "|"
  + _any_of(r"u\.s\.-(?:u\.k|u\.s\.s\.r)"))
_ACRONYM = rf"(?:[A-Za-z](?:\.[A-Za-z])*|{_UNION_STATE})"
_HYPHENED = (
  r"[A-Za-z0-9][A-Za-z0-9.,\u00ad]*"
  rf"(?:-(?:[A-Za-z0-9\u00ad]+|(?:[A-Za-z](?:\.[A-Za-z])+|{_UNION_STATE})\.))+")
_SLASHED_PART = "[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_SLASHED = rf"{_SLASHED_PART}(?:\\?/{_SLASHED_PART}){{1,2}}"
_AND = f"(?:&|{_entity('amp')})"
_JOINED_CAPITALS = f"[A-Z]+(?:(?:\\+|{_AND})[A-Z]+)+"  # AT&T
_TREEBANK = "|".join([
  f"-{_any_of('rrb lrb rcb lcb rsb lsb')}-", _any_of(r"c\.d\.s pro- anti-"),
  f"{_any_of('s')}{_AND}{_any_of('p-500 ls')}", f"{_any_of('cap')}{_APOSTROPHE}[nN]",
  f"[cC]{_APOSTROPHE}{_any_of('est')}"])

_TAG_NAME = r"[A-Za-z][-A-Za-z0-9_:.]*"
_TAG = (
  rf"<(?:[!?][A-Za-z-][^>\r\n]*|/{_TAG_NAME}"
  rf"""|{_TAG_NAME}(?: +{_TAG_NAME}(?: *= *(?:'[^']*'|"[^"]*"))?)* */?) *>""")
_IN_ADDRESS = r'[^ \t\n\f\r"<>|()'
_ADDRESS = rf"{_any_of('https?')}://{_IN_ADDRESS}{{}}]+{_IN_ADDRESS}.!?{{}},-]"
_HOST = (
  rf"(?:{_any_of('www')}\.(?:{_IN_ADDRESS}.!?{{}},]+\.)+[a-zA-Z]{{2,4}}"
  # The official class says `,-_`, a range: no capital and no digit is let through.
  rf"|(?:{_IN_ADDRESS}`'.!?{{}},-_$]+\.)+{_any_of('com net org edu')})"
  rf"(?:/{_IN_ADDRESS}]+{_IN_ADDRESS}.!?{{}},-])?")
_MAIL = (
  rf"(?:<|{_entity('lt')})?[a-zA-Z0-9]{_IN_ADDRESS}{{}}\u00a0]*"
  rf"@(?:{_IN_ADDRESS}{{}}.\u00a0]+\.)*{_IN_ADDRESS}{{}}.\u00a0]+(?:>|{_entity('gt')})?")
_TWITTER = f"@[a-zA-Z_][a-zA-Z_0-9]*|#{_WORD_PART}+"
_FILE = f"(?:{_WORD_PART}|{_DIGIT})+(?:\\.(?:{_WORD_PART}|{_DIGIT})+)*\\." + _any_of("""
  bat bmp c cgi class cpp dll docx? exe gif gz h html? jar java jpe?g mov mp3 pdf php pl png ppt ps
  py sql tar txt wav x xml zip""")

# A capital in brackets is needed: "ill" is a word, "Ill." a state.
_MAY_END = _any_of(r"""
  jan feb mar apr jun jul aug sept? oct nov dec mon tues? wed thu thurs fri
  ala ariz [A]rk [A]z calif colo conn ct dak [D]el fla ga [I]ll ind kans? ky [L]a [M]ass md mich
  minn [M]iss mo mont neb nev okla [O]re [P]a penn tenn [T]ex va vt [W]ash wisc? wyo
  assn bancorp bhd corp cos? inc intl ltd plc pp?t[ey]s? rt sys univ
  al bldg blvd bros ed\.d esq est etc ext jr ph\.d rd seq sq sr tel""") + r"\."
_NEVER_ENDS = "(?:" + _any_of(r"""
  adj adm adv assoc asst attys? ave brig capt co?mdr col cpl det drs? ens ft gen govs? hon insp
  lieut lt maj messrs [M]iss mlle mme mr mrs ms msgr mt pfc pres profs? pvt reps? rev sens? sfc sgt
  spc ste? supts? a\.k\.a alex cf cie dept elec invt jos m[ft]g natl ph treas vs wm
  """) + f"|{_ACRONYM})"
_BEFORE_NUMBERS = _any_of("art bldg ca figs? nos? op pp prop") + r"\."
_NEW_SENTENCE = _any_of(r"""
  [A]bout [A]ccording [A]dditionally [A]fter [A]n? [A]s [A]t [B]ut [E]arlier [H]e [H]ere?
  [H]owever [I]f [I]n [I]t [L]ast [M]any [M]ore [M]r\. [M]s\. [N]ow [O]nce [O]ne [O]ther [O]ur [S]he
  [S]ince [S]o [S]ome [S]uch [T]hat [T]he [T]heir [T]hen [T]here [T]hese [T]hey [T]his [W]e [W]hat
  [W]hen [W]hile [Y]et [Y]ou""")

_FACE = r"[<>]?[:;=][-*'o]?[()DPdpO\\{@|\[\]]"
_EYES = "-^x=~<>'"
_JAPANESE_FACE = "|".join([
  rf"[{_EYES}]_[{_EYES}]", rf"\([{_EYES}][_.]?[{_EYES}]\)",
  r"\([\^x=~<>']-[\^x=~<>'`]\)", r"[\^x=~<>]\.\[\^[xX]=[^<]*<>\]"])
_DOTS = r"\.{3,5}|(?:\.[ \u00a0]){2,4}\.|[\x85\u2026]"
_QUOTE_MARKS = "[`\u2018\u2019\u201a-\u201f\x91-\x94\u2039\u203a\u00ab\u00bb]{1,2}"
_DOUBLE_QUOTE = f'(?:"|{_entity("quot")})'
_INSIDE = "[,;:\u3001]"  # such punctuation does not end a sentence, so a full stop before is no end


# ---- Rules -------------------------------------------------------------------------------------


class _Rule(NamedTuple):
  """A kind of token."""

  pattern: str
  ahead: re.Pattern[str] | None  # what must follow it and is left to read
  write: Callable[[str], str] | None  # None: no token
  again: int  # characters at its end that are read once more


def _rule(
    token: str, ahead: str = "", *, write: Callable[[str], str] | None = str, again: int = 0
) -> _Rule:
  pattern = f"(?:{token})(?:{ahead})" if ahead else token
  return _Rule(pattern, re.compile(rf"(?:{ahead})\Z") if ahead else None, write, again)


_RULES = (
  _rule(r"[cCfF]#|[cC]\+\+"),
  _rule(_any_of("can"), _any_of("not")),
  _rule(_any_of("'t"), _any_of("was")),
  _rule(_any_of("'t"), _any_of("is")),
  _rule(_any_of("gon wan"), _any_of("na")),
  _rule(_any_of("got"), _any_of("ta")),
  _rule(_any_of("gim lem"), _any_of("me")),
  _rule(_TAG, write=_with_hard_blanks),
  _rule(_entity("md mdash ndash") + "|[\x96\x97\u2013-\u2015]", write=_fixed("--")),
  _rule(_entity("amp"), write=_with_plain_ampersand),
  _rule(f"&(?:{_any_of('ht tl ur lr qc ql qr odq cdq')}|#[0-9]+);"),
  _rule(_WORD, _SUFFIX, write=_without_soft_hyphens),
  _rule("[A-Za-z\u00ad]*[A-MO-Za-mo-z]\u00ad*", _NOT, write=_without_soft_hyphens),
  _rule(_WORD, write=_without_soft_hyphens),
  _rule(_APOSTROPHE_WORDS),
  _rule(f"[yY]{_APOSTROPHE}", _LETTER),
  _rule(_ADDRESS),
  _rule(_HOST),
  _rule(_MAIL),
  _rule(_TWITTER),
  _rule(_SUFFIX, "[^A-Za-z]", write=_closing_quote),
  _rule(_NOT, "[^A-Za-z]", write=_closing_quote),
  _rule(_DATE),
  _rule(_NUMBER, write=_without_soft_hyphens),
  _rule(_RAISED),
  _rule(_QUOTIENT, write=_with_hard_blanks),
  _rule("[\u00bc\u00bd\u00be\u2153-\u215e]", write=_fraction),
  _rule(_TREEBANK, write=_with_plain_ampersand),
  _rule(_SLASHED),
  _rule(r"[A-Z]*\$|#"),
  _rule("[\x80¢£¤¥\u20a0\u20a4\u20ac\u060b\u0e3f\uffe0\uffe1\uffe5\uffe6]", write=_currency),
  # Words that begin a sentence end the one before: the full stop is read as a token too.
  _rule("[A-Za-z]", rf"\.{_GAP}+(?:{_NEW_SENTENCE}|{_TAG}){_GAP}"),
  _rule(rf"{_ACRONYM}\.", f"{_GAP}+(?:{_NEW_SENTENCE}|{_TAG}){_GAP}", again=1),
  _rule(_BEFORE_NUMBERS, f"{_GAP}?{_DIGIT}"),
  _rule(_any_of("co pt[eyEY]") + r"\.", _BLANK + _any_of("ltd lim")),
  _rule(_MAY_END, f"{_GAP}(?:{_GAP}|{_CAPITAL}|{_TAG})", again=1),
  _rule(_MAY_END, r"[\s\S]{2}"),
  _rule(_MAY_END, again=1),
  _rule(rf"{_NEVER_ENDS}\."),
  _rule(_NEVER_ENDS, _BLANK),
  _rule(_ACRONYM, _GAP),
  _rule(f"{_APOSTROPHE}[0-9][0-9]", _GAP),
  _rule(_FILE, f"{_GAP}|[.?!,]"),
  _rule(rf"{_WORD}\.", _INSIDE, write=_without_soft_hyphens),
  _rule(_PHONE, write=lambda token: _with_named_brackets(_with_hard_blanks(token))),
  _rule(_DOUBLE_QUOTE, "[A-Za-z0-9$]", write=_opening_quote),
  _rule(_DOUBLE_QUOTE, write=_closing_quote),
  _rule("\x7f", write=None),
  _rule(f"<|{_entity('lt')}", write=_fixed("<")),
  _rule(f">|{_entity('gt')}", write=_fixed(">")),
  _rule(_FACE, "[^A-Za-z0-9]", write=_with_named_brackets),
  _rule(_JAPANESE_FACE, write=_with_named_brackets),
  _rule(r"\{", write=_fixed("-LCB-")),
  _rule(r"\}", write=_fixed("-RCB-")),
  _rule(r"\[", write=_fixed("-LSB-")),
  _rule(r"\]", write=_fixed("-RSB-")),
  _rule(r"[()]", write=_with_named_brackets),
  _rule("-+", write=_dashes),
  _rule(_DOTS, write=_fixed("...")),
  _rule(r"@+|#+|_+|\*+|(?:\\\*){1,3}|[?!]+|[=/]"),
  _rule(_INSIDE),
  _rule("[.\u00a1\u00bf\u037e\u0589\u061f\u06d4\u0700-\u0702\u07fa\u3002]"),
  _rule(rf"{_HYPHENED}\.", _INSIDE, write=_without_soft_hyphens),
  _rule(_HYPHENED, write=_without_soft_hyphens),
  _rule(rf"{_COMPOUND}\.", _INSIDE),
  _rule(_COMPOUND),
  _rule(rf"{_JOINED_CAPITALS}\.", _INSIDE, write=_with_plain_ampersand),
  _rule(_JOINED_CAPITALS, write=_with_plain_ampersand),
  _rule("'", "[A-Za-z][^ \t\n\r\u00a0]", write=_opening_quote),
  _rule(f"{_SUFFIX}|{_NOT}|{_APOSTROPHE}|''|{_QUOTE_MARKS}", write=_closing_quote),
  _rule("<<|>>"),
  _rule(_SYMBOL),
  _rule(f"\0|{_BLANK}+|[\u200b\u200e\u200f\ufeff]|{_entity('nbsp')}", write=None),
  _rule("[^\r\n\u2028\u2029\v\f\x85]", write=None),  # what the tokenizer does not know is dropped
)
_SCANNER = Scanner([rule.pattern for rule in _RULES])
