"""Writes down what pycocoevalcap says, so that the tests need neither it nor Java.

  pip install pycocoevalcap
  python -m tests.metrics.record_official --shared=../shared
"""

import argparse
import importlib.metadata
import json
import pathlib
import shutil
import sys

from tests.metrics import official_sets as sets


def main() -> None:
  usage = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
  usage.add_argument("--shared", type=pathlib.Path, default=pathlib.Path("../shared"))
  shared = usage.parse_args().shared
  try:
    version = importlib.metadata.version("pycocoevalcap")
  except importlib.metadata.PackageNotFoundError:
    sys.exit("pycocoevalcap is not installed; pip install pycocoevalcap")
  if shutil.which("java") is None:
    sys.exit("pycocoevalcap needs Java, and no java is on the path; "
             "on Debian: apt install default-jre-headless")
  english = cut(sets.flickr8k(shared, "captions_en.txt"))
  texts = {
    "mixtures": cut(sets.mixtures()),
    "flickr8k english": english,
    "flickr8k chinese": cut(sets.flickr8k(shared, "captions_zh.txt")),
    "flickr8k translated": cut(sets.flickr8k(shared, "captions_zh_translated_test.txt")),
    "coco": cut(sets.coco(shared)),
  }
  references, hypotheses = sets.held_out(english)
  record = {
    "tool": f"pycocoevalcap {version}",
    "lines": cut(sets.lines()),
    "digests": {name: sets.digest(tokens) for name, tokens in texts.items()},
    "scores": {name: score(references, texts) for name, texts in hypotheses.items()},
  }
  sets.RECORDED.write_text(json.dumps(record, indent=1) + "\n")


def cut(captions: list[str]) -> list[str]:
  from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

  found = PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in enumerate(captions)})
  return [found[i][0] for i in range(len(captions))]


def score(references: list[list[str]], hypotheses: list[str]) -> dict[str, dict]:
  """Of each metric the corpus score, and those of every 25th sample."""
  from pycocoevalcap.bleu.bleu import Bleu
  from pycocoevalcap.cider.cider import Cider
  from pycocoevalcap.rouge.rouge import Rouge

  sides = dict(enumerate(references)), {i: [h] for i, h in enumerate(hypotheses)}
  bleu, bleus = Bleu(4).compute_score(*sides, verbose=0)
  found = {f"bleu_{n + 1}": (bleu[n], bleus[n]) for n in range(4)}
  found["rouge_l"] = Rouge().compute_score(*sides)
  found["cider"] = Cider().compute_score(*sides)
  return {
    name: {"corpus": float(corpus), "samples": [float(s) for s in samples[::25]]}
    for name, (corpus, samples) in found.items()}


if __name__ == "__main__":
  main()
