import base64
import html.parser
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mmjax.report.curves import Curve
from mmjax.report.overlay import on_paper, overlay
from mmjax.report.page import Report, Sample, write_report

VOID = {"meta", "link", "input", "img", "br"}
EMPTY = Report("BTTR", "on a test", {}, (), (), {})


def sample(reference="x ^ { 2 }", hypothesis="x ^ { 2 }", distance=0, steps=None, size=(40, 90)):
  picture = np.zeros(size, np.uint8)
  picture[10:13, 5:-5] = 255
  if steps is None:
    return Sample("id-1", picture, reference, hypothesis, -0.25, distance, None, ())
  grid = (-(-size[0] // 16), -(-size[1] // 16))
  attention = np.random.default_rng(0).dirichlet(np.ones(grid).ravel(), steps)
  maps = attention.reshape(steps, *grid).astype(np.float32)
  tokens = tuple(f"t{i}" for i in range(steps))
  return Sample("id-1", picture, reference, hypothesis, -0.25, distance, maps, tokens)


class Page(html.parser.HTMLParser):
  """A page read back: fails where tags do not balance; collects what is asserted on."""

  def __init__(self, text):
    super().__init__()
    self.open, self.tags, self.images, self.marks, self.texts = [], [], [], [], []
    self.cards, self.urls = [], []
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    values = dict(attrs)
    self.urls += [v for k, v in attrs if k in ("src", "href")]
    if tag == "img":
      self.images.append(values)
    if tag == "article":
      self.cards.append(values["class"])
    if tag == "mark":
      self.marks.append([values["class"], ""])
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.handle_starttag(tag, attrs)
    self.handle_endtag(tag)

  def handle_endtag(self, tag):
    assert tag not in VOID and self.open.pop() == tag

  def handle_data(self, data):
    if self.open and self.open[-1] not in ("style", "script"):
      self.texts.append(data)
    if "mark" in self.open:
      self.marks[-1][1] += data

  @property
  def text(self):
    return " ".join(" ".join(self.texts).split())


@pytest.fixture
def page(tmp_path):
  def write(*samples, **fields):
    path = write_report(tmp_path / "new" / "folder", replace(EMPTY, samples=samples, **fields))
    assert path == tmp_path / "new" / "folder" / "report.html"
    return Page(path.read_text(encoding="utf-8"))

  return write


def test_a_page_of_nothing_says_so(page):
  empty = page()
  assert "BTTR" in empty.text and "no samples" in empty.text
  assert not {"table", "svg", "img"} & set(empty.tags)


def test_scores_curves_and_notes_are_shown(page):
  shown = page(
    scores={"exprate": 0.5396, "loss": 1.25, "normalised_exprate": 0.5571},
    curves=(Curve("train/loss", [1, 2], [2.0, 1.0]),), notes={"commit": "3f2a91c"})
  for text in ("53.96 % ExpRate", "As written", "Normalised", "55.71 %", "1.25", "3f2a91c"):
    assert text in shown.text
  assert shown.tags.count("svg") == 1


def test_nothing_is_fetched(page):
  shown = page(sample(steps=2), curves=(Curve("loss", [1, 2], [2.0, 1.0]),))
  assert shown.urls and all(u.startswith(("data:", "#")) for u in shown.urls)


def test_what_others_wrote_is_escaped(page):
  nasty = '<script>alert("1")</script> & \' <b>'
  hostile = replace(sample(nasty, "a < b & <i> c", 5, steps=1), id=nasty, tokens=(nasty,))
  shown = page(
    hostile, title=nasty, subtitle=nasty, scores={nasty: 1.0}, notes={nasty: nasty},
    curves=(Curve(nasty, [1, 2], [1.0, 2.0]),))
  assert shown.tags.count("script") == 1 and not {"b", "i"} & set(shown.tags)
  assert shown.text.count(nasty) == 10  # title, both headers, score twice, notes twice, sample
  assert shown.images[0]["alt"] == f"picture of sample {nasty}"


def test_tokens_that_differ_are_marked(page):
  shown = page(sample("a + b + c", "a - b + c d", 2))
  assert shown.marks[2:] == [["missed", "+"], ["wrong", "-"], ["wrong", "d"]]  # 2: the explanation
  assert "2 errors" in shown.text


def test_a_missing_token_leaves_a_gap(page, tmp_path):
  shown = page(sample("a b c", "a c", 1))
  assert shown.marks[2:] == [["missed", "b"]]
  assert "1 token missing here" in (tmp_path / "new/folder/report.html").read_text()


def test_right_wrong_and_missing_answers_are_told_apart(page):
  shown = page(sample(), sample("a", "b", 1), sample("a", None, 1), sample("", None, 0))
  assert shown.cards == ["card right", "card wrong", "card wrong", "card wrong"]
  assert "All 4 Wrong 3 Right 1" in shown.text
  assert shown.text.count("no answer") == 2 and shown.text.count("score -0.25") == 2


MALFORMED = (
  r"\frac { 1", "} {", "x ^ ^ 2", r"\unknown", "$", "x $ y", r"\left (", "_", "\\", "%", "#",
  "é 中", " ".join(["{"] * 150), " ".join(["x"] * 500))


@pytest.mark.parametrize("hypothesis", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_hypothesis_does_not_break_the_page(page, hypothesis):
  shown = page(sample(r"\sqrt { 2 }", hypothesis, 4), sample())
  assert len(shown.cards) == 2
  assert hypothesis in shown.text


@pytest.mark.parametrize("formula, drawn", [
  (r"\sum \limits _ { i = 1 } ^ { n } \frac { a _ { i } } { \sqrt { 2 } }", True),
  (r"\{ x \}", True), (r"\frac { 1", False), ("a dog runs", False), ("", False)])
def test_formulas_are_typeset_and_captions_are_not(page, tmp_path, formula, drawn):
  page(sample(formula, formula))
  text = (tmp_path / "new/folder/report.html").read_text()
  assert ('class="print"' in text) is drawn
  used = set(re.findall('href="#(.+?)"', text))
  assert used == set(re.findall('<path id="(.+?)"', text)) and bool(used) is drawn


def test_scripts_are_typeset_smaller(page, tmp_path):
  page(sample("a _ { a }", "a _ { a }"))
  text = (tmp_path / "new/folder/report.html").read_text()
  base, script = (float(scale) for scale in re.findall(r'<use .*?scale\((.+?)\)', text))
  assert script < base


def test_each_token_has_its_attention(page):
  shown = page(sample(steps=3))
  assert [i["alt"] for i in shown.images[1:]] == [f"attention while writing t{n}" for n in range(3)]
  data = base64.b64decode(shown.images[1]["src"].removeprefix("data:image/png;base64,"))
  with Image.open(io.BytesIO(data)) as image:
    assert image.size == (90, 40)
  assert "Attention, 3 steps" in shown.text


def test_attention_has_a_map_for_each_token():
  with pytest.raises(ValueError, match="sample id-1: attention of 3 steps for 2 tokens"):
    replace(sample(steps=3), tokens=("a", "b"))


def test_many_samples_are_cut_and_counted(page):
  shown = page(*[sample(steps=1)] * 300)
  assert len(shown.cards) == 200 and "200 of 300 shown" in shown.text
  assert shown.tags.count("details") == 40


def test_the_page_stays_under_5_mb(page, tmp_path):
  noise = np.random.default_rng(0).integers(0, 256, (600, 1500), np.uint8)
  photo = replace(sample(steps=2), picture=noise)
  shown = page(*[photo] * 20)
  assert 1 < len(shown.cards) < 20
  assert (tmp_path / "new/folder/report.html").stat().st_size < 5_000_000


def test_ink_becomes_dark_on_white():
  ink = sample().picture
  assert np.median(on_paper(ink)) == 255
  np.testing.assert_array_equal(on_paper(255 - ink), 255 - ink)


def test_the_tint_is_where_the_attention_is():
  attention = np.zeros((3, 6), np.float32)
  attention[1, 4] = 1  # rows 16 to 31, columns 64 to 79
  drawn = overlay(np.full((40, 90), 255, np.uint8), attention)
  assert drawn.shape == (40, 90, 3)
  rows, columns = np.nonzero(drawn[..., 2] < 90)
  assert rows.min() >= 16 and rows.max() < 32 and columns.min() >= 64 and columns.max() < 80
  np.testing.assert_array_equal(drawn[:, :48], 255)


def test_ink_stays_black_and_even_attention_stays_faint():
  picture = sample().picture
  drawn = overlay(picture, np.full((3, 6), 1 / 18, np.float32))
  assert (drawn[picture == 255] == 0).all()
  assert drawn[picture == 0].min() > 150
  np.testing.assert_array_equal(overlay(picture, np.zeros((3, 6), np.float32))[0, 0], 255)
