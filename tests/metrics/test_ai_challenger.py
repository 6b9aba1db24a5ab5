"""AI Challenger's protocol on the three pictures that its organizers give out with the scorer.

The expected numbers are those of the official scorer with jieba 0.42.1.
"""

import json

import pytest

from mmjax.metrics.__main__ import main
from mmjax.metrics.files import read_hypotheses
from mmjax.text import chinese

pytest.importorskip("jieba", reason="pip install 'mmjax[captions]'")

SCORES = {
    "bleu_1": 0.790477, "bleu_2": 0.689204, "bleu_3": 0.590733, "bleu_4": 0.520146,
    "rouge_l": 0.6612140352, "meteor": 0.4458996794, "cider_d": 2.7605215598,
}  # fmt: skip
PER_SAMPLE = {
    "bleu_4": (0.507918, 0.432423, 0.568110), "rouge_l": (0.653571, 0.596577, 0.733494),
    "meteor": (0.455699, 0.388450, 0.497053), "cider_d": (3.151987, 2.243811, 2.885767),
}  # fmt: skip


@pytest.fixture
def folder(shared):
  return shared / "data/aic_icc"


def test_submissions_are_cut_as_by_the_official_scorer(folder):
  written = read_hypotheses(folder / "eval_sample_submission.json").texts.values()
  assert [" ".join(chinese.words(texts[0])) for texts in written] == [
      "一个 面对 着 蓝天 大海 的 女人 坐在 海边 的 沙滩 椅子",
      "大 海边 的 沙滩 上 有 3 个光 着 上身 的 小男孩 在 玩球",
      "一个 女人 和 一个 穿着 黑色 裤子 的 男人 手拉手 走 在 海边 的 石滩 上",
  ]


def test_by_characters_scores_are_others(folder, capsys):
  """COCO-CN and ERNIE-ViLG print such figures: higher, and not to be mixed with those by words."""
  found = []
  for unit in ("word", "char"):
    main([f"--refs={folder}/eval_sample_reference.json", "--language=zh", "--json",
          f"--hyps={folder}/eval_sample_submission.json", "--metrics=bleu", f"--unit={unit}"])
    found.append(json.loads(capsys.readouterr().out))
  assert [f["unit"] for f in found] == ["word", "char"]
  assert found[1]["bleu_4"] > found[0]["bleu_4"] + 0.03


@pytest.mark.parametrize("metric", ["bleu", "rouge_l", "cider_d", "meteor"])
def test_scores_are_those_of_the_official_scorer(folder, metric, capsys, tmp_path):
  arguments = [
      f"--refs={folder}/eval_sample_reference.json",
      f"--hyps={folder}/eval_sample_submission.json",
      f"--metrics={metric}", "--language=zh", "--json", f"--per_sample={tmp_path / 'each'}",
  ]  # fmt: skip
  code = main(arguments)
  found = json.loads(capsys.readouterr().out)
  if metric == "meteor" and "meteor" in found["not_available"]:
    pytest.skip(f"METEOR: {found['not_available']['meteor']}")
  assert code == 0 and found["samples"] == 3
  expected = {k: v for k, v in SCORES.items() if k.startswith(metric)}
  assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-6)
  rows = [json.loads(line) for line in (tmp_path / "each").read_text().splitlines()]
  for name in expected.keys() & PER_SAMPLE.keys():
    assert [row[name] for row in rows] == pytest.approx(PER_SAMPLE[name], abs=1e-6)
