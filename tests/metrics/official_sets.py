"""What the official caption tools were asked, for `record_official` and for the tests."""

import gzip
import hashlib
import json
import pathlib
from collections.abc import Sequence

RECORDED = pathlib.Path(__file__).with_name("official.json")

# One for each rule of the tokenizer and for what lies between two rules.
STRINGS = r"""
Don't stop -- it's a U.S. flag's "best" day...
He said: (ok) [x] {y} & z/w #1 $5.00 50% e-mail
a T-shirt, 3:30pm; well-known isn't can't gonna
cannot ... wait?! —dash
UPPER CASE's *star* ~tilde_ @at
an ice-cream 1/2 1,000 people's
CANNOT 'tis 'Twas gotta wanna lemme gimme dunno
The 'quoted' "words" and ``latex'' and ‘curly’ “quotes” „low‟ «French» ‹ones›
rock 'n' roll, rock'n'roll, y'all, y'know, ma'am, o'clock, O'Brien, d'Artagnan, l'amour, c'est
the '90s, '50s, class of '99, 'em, 'til 'till, ol' dogs' cap'n cont'd nor'easter s'mores ev'ry li'l
he'd she'll they've we're I'm don't DON'T n't shouldn’t it’s it`s &apos;s it&apos;s
"a" "1" "$" " ' '' ''' ` `` ```
&quot;quoted&quot; &quot; &QUOT; &APOS; &amp; &AMP; AT&amp;T caf&eacute; &lt;b&gt; &#39;
&nbsp; &mdash; &HT; &foo; a&nbsp;b
... .... ..... ...... .. . . . . … .a ..a
- -- --- ---- ----- – — ― a-b a--b a- -a
( ) [ ] { } < > << >> -LRB- -rrb- -LSB-
? ! ?? !! ?! !? ?!? a? b!c d.e
, ; : ,, ;; 、 。 ， ！ ？ （ ）
$ US$ $5 £5 €5 ¢ ¥ ₤ 5% # ## #tag #1 #a1 @ @@ @bob @1
1 1.5 .5 -5 +5 1,000 1,000.50 12:30 1:2:3 10/12/2014 1-2-99 5-6 1/2 5 1/2 5-1/2 1\/2 ½ 5½ ¼ ¾ ⅓ ⅔ ⅛
555-1234 555 123 4567 (555) 123-4567 +1 555 123-4567 123.456.7890 x² H₂O 10°C
U.S. U.S.A. U.K. a.m. p.m. e.g. i.e. Ph.D. Ed.D. J.R.R. a.k.a. u.s.-u.k. non-U.S. Canada-U.S.
Mr. Mrs. Dr. St. Ste. Ave. Mt. Capt. vs. cf. Prof. Miss. miss. Mass. mass. Ill. ill. Wash. wash.
Jan. Sept. Mon. Thurs. Inc. Co. Cos. Corp. Ltd. etc. Jr. Rd. Blvd. Bldg.
No. 5 no. fig. 3 p. 5 pp. 7 art. 2 bldg. 3 Art.
co. ltd Co. Ltd. pty. limited
Inc. The end. U.S. The flag. plan B. It works. A. A b. U.S. <b> x
http://example.com/a?b=c. https://x.org/, www.foo.com foo.com bar.net/x.html.
HTTP://A.B me@x.com <me@x.com> http://a.b/(c) x@y www.a.b.co.uk/x?y=z!
file.txt a.jpg, b.c! c++ C# f# x.py: a.b.zip readme.TXT
:) :-) :( ;) :D =P :o) (^_^) ^_^ x_x (-_-) ('-`) :'( 8)
<b> </b> <br/> <a href="x y"> <a b='c d' e> <!-- c --> <?xml?> < a > <1>
AT&T R&B S&P-500 S&Ls P+Q A&B., C.D.s pro-life anti-war
a_b __init__ a__b _ \ \* \*\* * ** | ~ ^ = == + % / // a/b and/or a/b/c a/b/c/d w/o x-y/z
soft­hyphen co­op ­ ­­ naïve café ÉCOLE Straße
中文 一个 人 。 Ｔ恤 ＡＢＣ T恤 한국어 日本語 हिन्दी ไทย عربي Ελληνικά Привет
😀 👍🏽 a😀b 𝒳 𐐀x http://a.b/😀
a.b.c. a., a., b.; x-y., x-y. A&B., 5., 5.
"""
PIECES = STRINGS.split() + ["\t", "\u00a0", "\u2009", "\u3000", "\u200b", "\0", "\x01", "\x7f",
                            "\x80", "\x85", "\x92", "\x93", "\x96", "\x9f", "\ufeff", "\ue000"]
WORDS = ["a", "the", "man", "A", "The", "dog", "runs", "in", "snow", "Two", "red", "it", "It"]


def lines() -> list[str]:
  """The strings above, with what a caption's end and an inner line break do."""
  return [*STRINGS.strip("\n").split("\n"), "", " ", "plan A.", "The end", "plan A.", "the end",
          "a tag <a b='", "' c> ends here", "one\ntwo", "x" * 300, "'" * 30, "a.b" * 40]


def mixtures(number: int = 4000) -> list[str]:
  """Strings put together from pieces of the strings above and plain words."""
  state = 1

  def draw(n: int) -> int:
    nonlocal state
    state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
    return (state >> 33) % n

  out = []
  for _ in range(number):
    text = ""
    for _ in range(1 + draw(8)):
      pool = WORDS if draw(2) else PIECES
      text += pool[draw(len(pool))] + ("" if draw(4) == 0 else " ")
    out.append(text)
  return out


def flickr8k(shared: pathlib.Path, file: str) -> list[str]:
  """Captions of Flickr8k in a file's order, five a picture."""
  text = (shared / "data/flickr8k" / file).read_text(encoding="utf-8")
  return [line.split("\t", 1)[1] for line in text.split("\n") if line]


def coco(shared: pathlib.Path) -> list[str]:
  with gzip.open(shared / "data/coco/captions_val2017.json.gz") as f:
    return [a["caption"] for a in json.load(f)["annotations"]]


def held_out(tokens: Sequence[str]) -> tuple[list[list[str]], dict[str, list[str]]]:
  """References and sets of hypotheses from tokenised captions, five a picture.

  The first caption of each of 1,000 pictures is held out: whole, and damaged.
  """
  pictures = [list(tokens[i:i + 5]) for i in range(0, 40000, 40)]
  first = [captions[0] for captions in pictures]
  return [captions[1:] for captions in pictures], {
    "held out": first, "damaged": [_damage(i, caption) for i, caption in enumerate(first)]}


def _damage(i: int, caption: str) -> str:
  words = caption.split()
  half = len(words) // 2
  return " ".join([
    words, words[::-1], words[1::2], words[:half], words[half:] + words[:half], words + words,
    words[:3] * 4, [], words[:1], words[:half] + ["zzz"]][i % 10])


def digest(texts: Sequence[str]) -> str:
  return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
