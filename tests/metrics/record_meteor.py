r"""Runs METEOR's official program (Java) and ours on the same captions.

  python -m tests.metrics.record_meteor --every=20 --write    what the tests compare with
  python -m tests.metrics.record_meteor --every=1             all captions; prints, keeps nothing

The captions come from the shared folder (MMJAX_SHARED); only numbers are stored.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Iterator

import numpy as np

from mmjax.metrics import meteor

STORED = pathlib.Path(__file__).with_name("meteor_official.npz")
SHARED = pathlib.Path(os.environ.get("MMJAX_SHARED", pathlib.Path(__file__).parents[3] / "shared"))

Sample = tuple[list[str], str]  # references, hypothesis


def samples(shared: pathlib.Path, every: int) -> dict[str, list[Sample]]:
  """References and hypotheses by kind, of every so many pictures.

  `english`, `coco`, `chinese`: a person's caption against the other persons'. `damaged`: a caption
  of the same picture shuffled, repeated, with words left out, doubled or added, or none, against
  one to four. `other`: against captions of other pictures.
  """
  english, chinese = (_flickr(shared / "data/flickr8k" / f"captions_{language}.txt", every)
                      for language in ("en", "zh"))
  pictures = json.loads((shared / "data/coco/captions.json").read_text())["images"]
  coco = [[" ".join(text.split()) for text in picture["captions"]] for picture in pictures]
  return {
    "english": [(captions[1:], captions[0]) for captions in english],
    "coco": [(captions[1:], captions[0]) for captions in coco[:: max(every // 10, 1)]],
    "chinese": [(captions[1:], captions[0]) for captions in chinese],
    "damaged": [(captions[: 1 + i % 4], _damage(i, captions[4]))
                for i, captions in enumerate(english)],
    "other": [(captions[:4], english[i - 1][4]) for i, captions in enumerate(english)],
  }


def _flickr(path: pathlib.Path, every: int) -> list[list[str]]:
  lines = [line.split("\t")[1].strip() for line in path.read_text(encoding="utf-8").splitlines()]
  return [lines[i : i + 5] for i in range(0, len(lines), 5 * every)]


def _damage(i: int, caption: str) -> str:
  words = caption.split()
  count = len(words)
  return " ".join((
    [words[j * 7 % count] for j in range(count)] if count % 7 else words[::-1],
    words + words[: i % count],
    [word for j, word in enumerate(words) if (i + j) % 3],
    [word for word in words for _ in range(1 + len(word) % 3)],
    ["the", "a", "dogs", "people", "of"] * (i % 5) + words,
    [[], ["."], ["the"] * 6, ["-"]][i // 6 % 4],
  )[i % 6])


def official(kinds: dict[str, list[Sample]]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
  """The official program's statistics [N, 23] and scores [N + 1], the corpus' last, of each kind.

  Before the first kind comes one without samples: the program has started.
  """
  folder = meteor.data.package()
  if folder is None:
    raise SystemExit(f"the official METEOR is not here; {meteor.data.INSTALL}")
  with subprocess.Popen(
    ["java", "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(folder / "meteor-1.5.jar"), "-", "-",
     "-stdio", "-l", "en", "-norm"], cwd=folder, encoding="utf-8",
    stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:

    def ask(*parts: str, answers: int = 1) -> list[str]:
      program.stdin.write(" ||| ".join(parts) + "\n")
      program.stdin.flush()
      return [program.stdout.readline().strip() for _ in range(answers)]

    ask("SCORE", "a", "a")
    yield "", np.zeros((0, meteor.STATISTICS)), np.zeros(0)
    for kind, group in kinds.items():
      rows = [ask("SCORE", *references, hypothesis)[0] for references, hypothesis in group]
      scores = ask("EVAL", *rows, answers=len(rows) + 1)
      yield kind, np.array([row.split() for row in rows], float), np.array(scores, float)
    program.stdin.close()


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--every", type=int, default=20)
  parser.add_argument("--write", action="store_true")
  options = parser.parse_args()
  kinds = samples(SHARED, options.every)
  started = time.perf_counter()
  stored = {}
  for kind, statistics, scores in official(kinds):
    seconds = time.perf_counter() - started
    if kind:
      pairs = sum(len(references) for references, _ in kinds[kind])
      started = time.perf_counter()
      measured = meteor.measure(*zip(*kinds[kind]))
      own = time.perf_counter() - started
      ours = np.append(measured.samples()["meteor"], measured.corpus()["meteor"])
      apart = np.abs(ours - scores)
      print(f"{kind}: {len(kinds[kind])} captions, {pairs} pairs; largest difference "
            f"{apart.max():.1e}, {(apart > 1e-6).sum()} above 1e-6; "
            f"corpus {scores[-1]:.10f}; official {pairs / seconds:.0f} pairs/s, "
            f"ours {pairs / own:.0f}", flush=True)
      stored |= {f"{kind}_statistics": statistics.astype(np.uint8), f"{kind}_scores": scores}
    else:
      print(f"the official program starts in {seconds:.1f} s")
      started = time.perf_counter()
      meteor.measure([["a"]], ["a"])
      print(f"ours in {time.perf_counter() - started:.1f} s", flush=True)
    started = time.perf_counter()
  if options.write:
    np.savez_compressed(STORED, **stored)


if __name__ == "__main__":
  main()
