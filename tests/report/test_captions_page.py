import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from html5 import Checked
from PIL import Image

from mmjax.report import captions_page, document
from mmjax.report.captions_page import Report, Sample, anchor, write_report
from mmjax.report.curves import Curve
from mmjax.report.overlay import heat
from mmjax.report.word_errors import word_errors

GROUND = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
PHOTOGRAPH = np.asarray(Image.fromarray(GROUND).resize((480, 360)))  # smooth, as photographs are
REFERENCES = ("A dog runs on grass.", "The brown dog is running.", "Dogs run")


def sample(id="a.jpg", hypothesis="a cat runs", steps=True, **changes):
  words = tuple(hypothesis.split())
  maps = np.random.default_rng(1).dirichlet(np.ones(15), len(words) + 1).reshape(-1, 3, 5)
  made = Sample(
    id, PHOTOGRAPH, REFERENCES, hypothesis, words, -0.5, {"cider": 0.714, "bleu_4": 0.25},
    (("a dog", -0.75), ("cats", -1.5)), "worst", maps.astype(np.float32) if steps else None)
  return replace(made, **changes)


def report(*samples, language="en", **changes):
  errors = word_errors(
    [s.id for s in samples], [s.words for s in samples], [s.references for s in samples], language)
  scores = {"cider": 0.5, "bleu_1": 0.625}
  return replace(
    Report("SAT", "on a test", scores, "Times 100.", (), samples, errors, language, {}), **changes)


@pytest.fixture
def page(tmp_path):
  """Writes a report; its text, once its tags balance."""
  def write(*samples, **changes):
    path = write_report(tmp_path / "new", report(*samples, **changes))
    assert path == tmp_path / "new" / "report.html" and path.stat().st_size < 5_000_000
    text = path.read_text(encoding="utf-8")
    assert not Checked(text).open_tags
    return text

  return write


def test_a_card_has_everything_that_is_known_of_a_picture(page):
  text = page(sample(), curves=(Curve("validation/cider", [1, 2], [0.25, 0.5]),))
  for wanted in ("<strong>50.0</strong>", "Times 100.", "BLEU-1", "CIDEr 71.4", "BLEU-4 25.0",
                 "score -0.5", "a dog", "-0.75", "cats", "-1.5", "validation 50.0<"):
    assert wanted in text
  assert text.count("<article") == 1 and '<ol start="2"' in text


def test_words_that_differ_are_marked(page):
  text = page(sample())
  assert 'a <mark class="wrong">cat</mark> runs' in text
  assert 'A <mark class="missed">dog</mark> runs on grass.' in text  # as it is written there
  assert '<mark class="missed">Dogs</mark>' not in text  # dog is what most references write


def test_chinese_words_are_marked_inside_their_sentence(page):
  pytest.importorskip("jieba", reason="pip install 'mmjax[captions]'")
  ours = sample(
    hypothesis="一只猫在奔跑", words=("一只", "猫", "在", "奔跑"), steps=False,
    references=("一只狗在奔跑。", "一只狗"))
  text = page(ours, language="zh")
  assert '一只<mark class="wrong">猫</mark>在奔跑' in text
  assert '一只<mark class="missed">狗</mark>在奔跑。' in text and 'lang="zh"' in text


def test_every_word_has_its_attention_over_one_photograph(page):
  text = page(sample())
  alts = re.findall('alt="attention while writing (.*?)"', text)
  assert alts == ["a", "cat", "runs", "end"] and text.count("--photograph: url(") == 1
  images = [Image.open(io.BytesIO(data)) for data in Checked(text).images]
  photograph, *maps = images
  assert photograph.format == "JPEG" and photograph.size == (340, 255)
  assert len(maps) == 4 and {m.format for m in maps} == {"PNG"}
  assert len({m.size for m in maps}) == 1 and maps[0].size[0] / maps[0].size[1] == 5 / 3


def test_nothing_is_fetched_and_what_others_wrote_is_escaped(page):
  nasty = '<script>alert("1")</script> & <b>'
  text = page(sample(id=nasty, references=(nasty,) * 3, others=((nasty, -1.0),),
                     hypothesis=nasty, words=tuple(nasty.split()), attention=None),
              title=nasty, subtitle=nasty, unit=nasty, notes={nasty: nasty})
  assert text.count("<script>") == 1 and "<b>" not in text
  sources = re.findall(r'(?:src|href)="(.*?)"|url\((.*?)\)', text)
  assert all((a or b).startswith(("data:", "#")) for a, b in sources)


def test_groups_can_be_chosen(page):
  text = page(sample("a"), sample("b", group="best"), sample("c", group="between"))
  for name, count in (("all", 3), ("worst", 1), ("between", 1), ("best", 1)):
    assert f'for="show-{name}">{name.capitalize()} <span>{count}<' in text


def test_pictures_without_answer_or_references_are_shown(page):
  none = sample(hypothesis="", steps=False)
  assert "no answer" in page(replace(none, hypothesis=None, scores={}))
  text = page(sample(references=(), scores={}))
  assert "References" not in text and '<mark class="wrong">cat' not in text


def test_wrong_words_lead_to_their_pictures(page):
  text = page(sample("a b.jpg"), sample("c.jpg", hypothesis="dog run grass"))
  assert anchor("a b.jpg") == "sample-a_b.jpg"
  assert '<a class="id" href="#sample-a_b.jpg">a b.jpg</a>' in text
  assert 'id="sample-a_b.jpg"' in text


def test_many_samples_stay_under_5_mb_and_are_counted(page):
  noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
  text = page(*[sample(str(i), picture=noise) for i in range(250)])
  shown = text.count("<article")
  assert 20 < shown <= 200 and f"{shown} of 250 shown" in text


def test_attention_has_a_map_for_each_word_and_the_end():
  with pytest.raises(ValueError, match=r"sample a.jpg: attention of 4 steps for 2 words"):
    replace(sample(), words=("a", "cat"))


def test_heat_is_strongest_and_warm_where_the_model_looks():
  maps = np.zeros((3, 5), np.float32)
  maps[1, 4] = 1
  shown = heat(maps).convert("RGBA")
  width, height = shown.size
  r, g, b, alpha = shown.getpixel((width - 3, height // 2))
  assert r > 200 > g > b and alpha > 100
  r, g, b, alpha = shown.getpixel((2, 2))
  assert max(r, g, b) < 60 and alpha > 100  # a veil of shade
  stored = document.data_uri(heat(maps), "png").split(",")[1]
  with Image.open(io.BytesIO(base64.b64decode(stored))) as again:
    assert again.convert("RGBA").getpixel((2, 2)) == (r, g, b, alpha)


def test_a_card_alone_is_html():
  assert not Checked(captions_page.card(sample(), "", "en")).open_tags
