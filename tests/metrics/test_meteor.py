"""METEOR against the official program's recorded numbers, worked examples and invariants."""

import gzip
import json
import logging
import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmjax.metrics import meteor
from mmjax.metrics.meteor import data
from mmjax.metrics.meteor.normaliser import normalise
from mmjax.metrics.meteor.stemmer import stem
from tests.metrics import record_meteor

REFERENCES = [
  ["a man riding a wave on top of a surfboard", "the surfer in a black wetsuit is riding a wave",
   "a person surfs on a small wave"],
  ["two dogs play in the snow", "a brown dog and a white dog are playing in the snow",
   "dogs running through deep snow it 's cold"],
  ["a red double-decker bus driving down a city street",
   "a bus -lrb- red -rrb- is parked on the street",
   "the city 's bus drives past a 3-story building"]]
HYPOTHESES = ["a man riding a wave on a surfboard", "two dogs are running in the snow",
              "a red bus driving down the street"]


@pytest.fixture(scope="module")
def package():
  folder = data.package()
  if folder is None:
    pytest.skip(f"METEOR's word lists are not here; {data.INSTALL}")
  return data.load(folder)


@pytest.fixture
def no_package(monkeypatch):
  monkeypatch.setattr(data, "package", lambda: None)


def corpus(references, hypotheses):
  return meteor.measure(references, hypotheses).corpus()["meteor"]


def test_worked_example(package):
  measured = meteor.measure(REFERENCES, HYPOTHESES)
  assert measured.samples()["meteor"] == pytest.approx(
    [0.4497196124, 0.4863578368, 0.3100492735], abs=1e-10)
  assert measured.corpus()["meteor"] == pytest.approx(0.3966483152, abs=1e-10)
  lengths_and_exact = measured.statistics[0, :8]
  assert lengths_and_exact.tolist() == [8, 10, 4, 5, 4, 4, 4, 4]
  assert measured.statistics[0, 8:].tolist() == [0] * 12 + [2, 8, 8]


@pytest.mark.parametrize("hypothesis, reference, expected", [
  ("the cat sat", "the cats sit", 0.7428571429),  # a stem, an irregular form, one chunk
  ("a child plays", "a kid is playing", 0.7276236429),  # a synonym, a phrase
  ("一个 面对 着 蓝天 大海", "一个 坐在 蓝天 大海", 0.3816110893),
  ("", "a cat", 0), ("zebras", "a cat", 0)])
def test_single_pairs(package, hypothesis, reference, expected):
  assert corpus([[reference]], [hypothesis]) == pytest.approx(expected, abs=1e-10)


def test_a_long_paraphrase_is_worth_half_its_words_in_the_search(package):
  # At its weight in the score, .6, a paraphrase of five words would win here over single words.
  measured = meteor.measure([["a drawn picture of a man and a woman on a bench"]],
                            ["a photo of a man and woman on a bench"])
  official = [10, 12, 6, 7, 3, 3, 6, 6, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 3, 10, 10]
  assert measured.statistics.tolist() == [official]


def test_an_empty_hypothesis_weighs_on_the_corpus(package):
  assert corpus(REFERENCES, [HYPOTHESES[0], "", HYPOTHESES[2]]) == pytest.approx(
    0.3018104244, abs=1e-10)


def test_official_chinese_sample(package, shared):
  folder = shared / "data/aic_icc"
  rows = json.loads((folder / "eval_sample_reference.json").read_text())["annotations"]
  references = [[row["caption"] for row in rows[i : i + 5]] for i in range(0, 15, 5)]
  measured = meteor.measure(references, [
    "一个 面对 着 蓝天 大海 的 女人 坐在 海边 的 沙滩 椅子",
    "大 海边 的 沙滩 上 有 3 个光 着 上身 的 小男孩 在 玩球",
    "一个 女人 和 一个 穿着 黑色 裤子 的 男人 手拉手 走 在 海边 的 石滩 上"])
  assert measured.samples()["meteor"] == pytest.approx([0.455699, 0.388450, 0.497053], abs=1e-6)
  assert measured.corpus()["meteor"] == pytest.approx(0.4458996794, abs=1e-10)


@pytest.mark.parametrize("kind", ["english", "coco", "chinese", "damaged", "other"])
def test_equals_the_official_program(package, shared, kind):
  stored = np.load(record_meteor.STORED)
  group = record_meteor.samples(shared, every=20)[kind]
  measured = meteor.measure(*zip(*group))
  statistics = stored[f"{kind}_statistics"].astype(float)
  # Where one chunk is all there is, ours says 0 chunks: then they add up as the program adds them.
  whole = ((statistics[:, -3] == 1) & (statistics[:, -2] == statistics[:, 0])
           & (statistics[:, -1] == statistics[:, 1]))
  statistics[whole, -3] = 0
  np.testing.assert_array_equal(measured.statistics, statistics)
  scores = np.append(measured.samples()["meteor"], measured.corpus()["meteor"])
  np.testing.assert_allclose(scores, stored[f"{kind}_scores"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("text, words", [
  ('Don\'t stop -- it\'s a U.S. flag\'s "best" day...',
   'don \'t stop - it \'s a us flag \'s " best " day ...'),
  ("He said: (ok) [x] & z/w #1 $5.00 50% e-mail",
   "he said : ( ok ) [ x ] & z / w # 1 $ 5.00 50 % e mail"),
  ("a–b a—b a--b a---b a-b-c -lrb- -1 1-2 –", "a - b a — b a b a--b a b-c -lrb- -1 1 2 -"),
  ("1,000 a,b 1 , 2 ,,, 1,,2 ,--,a", "1,000 a , b 1 , 2 , ,, 1 , , 2 , - , a"),
  ("`a' ``a'' ‘a’ “a”", "' a ' \" a \" ' a ' \" a \""),
  ("1990's '90s 5'10\" rock'n'roll dogs' n't", "1990 's ' 90s 5 ' 10 \" rock 'n'roll dogs ' n 't"),
  ("Mr. X no. 5 No. 5 No. X p.m. .a. x.y.z c. x 3. .5 the dog.",
   "mr. x no . 5 no. 5 no . x pm a x.y.z c. x 3 . .5 the dog ."),
  ("T恤 3个 café ＡＢ русский １", "t 恤 3 个 café ａ ｂ русский １"),
  ("a\u3000b\u00a0c\td\n", "a b c d"), ("...", "..."), ("", ""), (" \u3000 ", "")])
def test_words(text, words):
  assert normalise(text, {"Mr": False, "No": True}) == words.split()


def test_stems_are_those_of_2006():
  assert [stem(word) for word in (
    "added", "evening", "universities", "organized", "playing", "skies", "dyed", "tries", "ties",
    "cats'", "generous", "communism", "hopping", "hoped", "national", "sky", "by", "is", "yellow",
    "happily", "nationally", "biologist", "fullness", "controlled", "'s", "")] == [
    "ad", "even", "univers", "organ", "play", "sky", "dy", "tri", "tie", "cat", "generous",
    "communism", "hop", "hope", "nation", "sky", "by", "is", "yellow", "happili", "nation",
    "biologist", "full", "control", "'s", ""]


def test_identity_is_one_even_of_many(package):
  captions = [caption for group in REFERENCES for caption in group]
  measured = meteor.measure([[caption] for caption in captions], captions)
  assert (measured.samples()["meteor"] == 1).all() and measured.corpus()["meteor"] == 1


def test_order_of_references_moves_no_sample(package):
  scores = [meteor.measure([[group[i] for i in order] for group in REFERENCES], HYPOTHESES)
            .samples()["meteor"] for order in permutations(range(3))]
  assert (np.array(scores) == scores[0]).all()


def test_without_the_package_the_name_says_so(no_package, caplog):
  with caplog.at_level(logging.WARNING):
    measured = meteor.measure([["a child plays", "two kids"], ["a cat"]], ["a kid", "a cat"])
  assert "pip install mmjax[metrics]" in caplog.text
  # "two kids": one stem of two words, P = R = .3, and no penalty but that of the one chunk.
  f = 1 * 0.6 / 2
  assert measured.samples().keys() == measured.corpus().keys() == {"meteor_exact_stem"}
  first = max(f * (1 - 0.6), 1 / 2 * 1 / 3 / (0.85 / 2 + 0.15 / 3) * (1 - 0.6))
  assert measured.samples()["meteor_exact_stem"] == pytest.approx([first, 1])


words = st.lists(st.sampled_from(["zxa", "zxb", "zxc"]), max_size=6)


def chunks_of(matches):
  return sum(k == 0 or (matches[k - 1][0] + 1, matches[k - 1][1] + 1) != (j, i)
             for k, (j, i) in enumerate(matches))


def alignments(hypothesis, reference, at=0, used=frozenset()):
  if at == len(reference):
    yield ()
    return
  yield from alignments(hypothesis, reference, at + 1, used)
  for i, word in enumerate(hypothesis):
    if word == reference[at] and i not in used:
      for rest in alignments(hypothesis, reference, at + 1, used | {i}):
        yield ((at, i), *rest)


@given(words, words.filter(bool))
def test_most_matches_then_fewest_chunks(hypothesis, reference):
  aligner = meteor.Aligner(data.Data())
  matches, chunks = aligner.align(*aligner.sentences([hypothesis, reference]))
  everything = list(alignments(hypothesis, reference))
  most = max(map(len, everything))
  assert len(matches) == most == sum(min(hypothesis.count(w), reference.count(w))
                                     for w in set(reference))
  found = tuple((m.start, m.other_start) for m in matches)
  assert found in everything
  assert chunks == chunks_of(found) == min(chunks_of(a) for a in everything if len(a) == most)


TABLE = "0.5\nis playing\nplays\n0.1\nplays\nis playing\n0.2\nplays\nruns\n0.3\na b c\nplays\n"


def test_paraphrases_are_packed_once(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  table = tmp_path / "table.gz"
  table.write_bytes(gzip.compress(TABLE.encode()))
  for _ in range(2):
    packed = data._paraphrases(table)
    numbers = packed.numbers(["plays", "is", "runs", "is playing", "a b c"])
    names = {number: phrase for phrase, number in numbers.items()}
    assert set(numbers) == {"plays", "runs", "is playing", "a b c"}
    assert {name: [names[t] for t in packed.of(number)] for name, number in numbers.items()} == {
      "plays": ["is playing", "runs"], "runs": [], "is playing": ["plays"], "a b c": ["plays"]}
    monkeypatch.setattr(data, "_pack", None)  # the second time finds what the first time left


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(TABLE.encode())[:-20]], ids=["no gzip", "cut"]
)
def test_a_damaged_table_leaves_nothing(tmp_path, monkeypatch, content):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  table = tmp_path / "table.gz"
  table.write_bytes(content)
  with pytest.raises(ValueError, match=r"table\.gz cannot be read .* install pycocoevalcap again"):
    data._paraphrases(table)
  assert not list((tmp_path / "cache" / "mmjax").glob("*"))


def test_a_package_without_its_files_is_named(tmp_path):
  with pytest.raises(ValueError, match=r"meteor-1\.5\.jar cannot be read"):
    data.load(tmp_path)


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 lists"),
  ([["a"]], ["a", "b"], "2 hypotheses for 1 lists"),
  ([["a"], []], ["a", "b"], r"references\[1\] is \[\]"),
  ([["a"], ["b"], ["", " "]], ["a", "b", "c"], r"references\[2\] is \['', ' '\]"),
  ([["a"], "a cat"], ["a", "b"], r"references\[1\] is 'a cat'"),
  ([["a"], ["b", None]], ["a", "b"], r"references\[1\] is \['b', None\]"),
  ([["a"], ["b"]], ["a", None], r"hypotheses\[1\] is None; give a text")])
def test_bad_input_is_refused(no_package, references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    meteor.measure(references, hypotheses)


def test_finding_the_package_does_not_import_it():
  code = ("import sys; from mmjax.metrics.meteor import data; data.package(); "
          "print([m for m in sys.modules if m.startswith('pycoco')])")
  done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  assert done.stdout.strip() == "[]"
