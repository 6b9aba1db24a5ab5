r"""Seconds to score captions, ours against pycocoevalcap, from raw text to BLEU, ROUGE-L and CIDEr.

  pip install pycocoevalcap
  python -m benchmarks.score_speed --shared=../shared

5,000 pictures with five references each: captions of Flickr8k where the shared folder is given,
made-up ones otherwise. A hypothesis is half of one of its references and half of another. The two
take turns in one process, and their scores are compared. pycocoevalcap starts Java for its
tokenizer, twice (references, hypotheses); METEOR and SPICE are left out. Then captions a second
that get a CIDEr-D reward, on the device in a jitted function and on the host.
"""

import argparse
import importlib.util
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from mmjax.metrics import bleu, cider, ptb, rewards, rouge_l

Captions = tuple[list[list[str]], list[str]]  # references, hypotheses


def flickr8k(shared: Path, pictures: int) -> list[list[str]]:
  """Five English captions of each of so many pictures."""
  file = shared / "data/flickr8k/captions_en.txt"
  if not file.is_file():
    sys.exit(f"no captions at {file}; give --shared the folder that has them, or leave it out")
  lines = [line.split("\t", 1)[1] for line in file.read_text(encoding="utf-8").splitlines()]
  return [lines[i:i + 5] for i in range(0, min(5 * pictures, len(lines)), 5)]


def made_up(pictures: int) -> list[list[str]]:
  """Captions of words as frequent as in a language, five a picture that share a vocabulary."""
  random = np.random.default_rng(0)
  out = []
  for _ in range(pictures):
    topic = random.zipf(1.3, 30) % 9000
    captions = [random.choice(topic, random.integers(6, 18)) for _ in range(5)]
    out.append([" ".join(f"w{word}" for word in words) + " ." for words in captions])
  return out


def halves(references: list[list[str]]) -> list[str]:
  pairs = [(r[0].split(), r[1].split()) for r in references]
  return [" ".join(a[:len(a) // 2] + b[len(b) // 2:]) for a, b in pairs]


def ours(references: list[list[str]], hypotheses: list[str]) -> dict[str, float]:
  tokens = [" ".join(t) for t in ptb.tokenize_all([c for r in references for c in r])]
  ends = np.cumsum([len(r) for r in references])
  cut = [tokens[end - len(r):end] for end, r in zip(ends, references)]
  written = [" ".join(t) for t in ptb.tokenize_all(hypotheses)]
  scores: dict[str, float] = {}
  for metric in (bleu, rouge_l, cider):
    measured = metric.measure(cut, written)
    measured.samples()
    scores |= measured.corpus()
  return scores


def theirs(references: list[list[str]], hypotheses: list[str]) -> dict[str, float]:
  from pycocoevalcap.bleu.bleu import Bleu
  from pycocoevalcap.cider.cider import Cider
  from pycocoevalcap.rouge.rouge import Rouge
  from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

  cut = PTBTokenizer().tokenize(
    {i: [{"caption": c} for c in captions] for i, captions in enumerate(references)})
  written = PTBTokenizer().tokenize({i: [{"caption": c}] for i, c in enumerate(hypotheses)})
  bleus = Bleu(4).compute_score(cut, written, verbose=0)[0]
  scores = {f"bleu_{n}": score for n, score in enumerate(bleus, 1)}
  scores["rouge_l"] = float(Rouge().compute_score(cut, written)[0])
  scores["cider"] = float(Cider().compute_score(cut, written)[0])
  return scores


def seconds(call: Callable, *arguments) -> tuple[float, dict[str, float]]:
  start = time.perf_counter()
  answer = call(*arguments)
  return time.perf_counter() - start, answer


def reward_speed(references: list[list[str]], pictures: int = 100, rows: int = 5) -> None:
  """Prints captions a second of both ways to score a training batch."""
  tokens = [[caption.split() for caption in captions] for captions in references]
  numbers: dict[str, int] = {}
  coded = [
    [[numbers.setdefault(w, len(numbers)) for w in words] for words in captions]
    for captions in tokens]
  table = rewards.make_table(coded)
  frequencies = cider.document_frequencies(references)
  batch = coded[:pictures]
  lengths = np.array([[len(c) for c in captions] for captions in batch], np.int32)
  padded = np.zeros((*lengths.shape, lengths.max()), np.int32)
  for i, captions in enumerate(batch):
    for j, caption in enumerate(captions):
      padded[i, j, :len(caption)] = caption
  order = np.arange(pictures) - 1  # the captions of a neighbour are scored
  arguments = jax.device_put((
    table, padded[order, :rows], lengths[order, :rows], padded, lengths,
    np.ones(lengths.shape, bool)))
  score = jax.jit(rewards.cider_d)
  jax.block_until_ready(score(*arguments))  # compiles
  repeats = 10
  on_device = seconds(
    lambda: jax.block_until_ready([score(*arguments) for _ in range(repeats)]))[0] / repeats
  repeated = [r for r in references[:pictures] for _ in range(rows)]
  sampled = [caption for i in order for caption in references[:pictures][i][:rows]]
  on_host = seconds(lambda: cider.measure(repeated, sampled, frequencies).samples())[0]
  count = pictures * rows
  print(f"rewards of {count} captions at once, {padded.shape[-1]} places, "
        f"on {jax.devices()[0].device_kind}:")
  print(f"device   {count / on_device:10.0f} captions/s")
  print(f"host     {count / on_host:10.0f} captions/s")
  print(f"ratio    {on_host / on_device:10.1f}")


def main() -> None:
  usage = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
  usage.add_argument("--shared", type=Path)
  usage.add_argument("--pictures", type=int, default=5000)
  a = usage.parse_args()
  if importlib.util.find_spec("pycocoevalcap") is None:
    sys.exit("pycocoevalcap is not installed, and there is nothing to compare with; "
             "pip install pycocoevalcap")
  if shutil.which("java") is None:
    sys.exit("pycocoevalcap's tokenizer needs Java, and no java is on the path; "
             "on Debian: apt install default-jre-headless")
  references = flickr8k(a.shared, a.pictures) if a.shared else made_up(a.pictures)
  hypotheses = halves(references)
  first, mine = seconds(ours, references, hypotheses)
  spent, official = seconds(theirs, references, hypotheses)
  second, _ = seconds(ours, references, hypotheses)
  own = (first + second) / 2  # before and after: the machine drifts
  print(f"{len(references)} pictures, {sum(map(len, references))} references")
  for name, value in official.items():
    print(f"{name:8} {mine[name]:.10f}  pycocoevalcap {value:.10f}")
  print(f"ours           {own:7.2f} s")
  print(f"pycocoevalcap  {spent:7.2f} s")
  print(f"ratio          {spent / own:7.2f}")
  reward_speed(references)


if __name__ == "__main__":
  main()
