r"""The data pipeline: pictures a second, padding, waiting and memory, as tables in Markdown.

  pip install -e .[benchmarks]
  python -m benchmarks.pipeline_speed speed padding wait memory --data_dir=DATA_DIR

speed    decoding, resizing and padding of CROHME by ours (threads) and by a plain PyTorch
         DataLoader (processes) with the same functions on the same batches; they take turns.
padding  share of the pixels of an epoch that show nothing: the plan's buckets, and batches of
         neighbours in area, each padded to its largest picture.
wait     share of the time that training waits for its input, from the log of a short run.
memory   what a process holds of a data set with 1 and 10 times as many records.
"""

import argparse
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from benchmarks.torch_data import padded_pixels, reference_batches
from data_pipelines import datasets, pipeline
from data_pipelines.batching import Options, Plan
from data_pipelines.builders import parts
from data_pipelines.builders.formulas import formula_features
from data_pipelines.index import load_index
from data_pipelines.spool import in_given_order
from data_pipelines.transforms import decode, resize
from mmjax.text.vocabulary import Vocabulary

# As configs/crohme/bttr_small.py.
SMALL = dict(batch=32, scale=0.5, high=(128, 512), max_buckets=12)


def table(heading: tuple, rows: list[tuple]) -> str:
  lines = [heading, ("---",) * len(heading), *rows]
  return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def read(builder, split: str = "train"):
  """Index, pictures and tokens of a split."""
  index = load_index(builder, split)
  source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
  words = Vocabulary.from_words(builder.info.metadata["vocabulary"])
  records = pipeline.Records(source, index.ids)
  return index, records, pipeline.encode_texts(index.texts, words)


class TorchPictures:
  """What a plain PyTorch data set does for one picture: decode and resize."""

  def __init__(self, data_dir, ids, tokens):
    self._data_dir, self._ids, self._tokens = data_dir, ids, tokens
    self._source = None

  def __getitem__(self, planned):
    if self._source is None:  # each worker opens the files itself
      builder = tfds.builder_from_directory(self._data_dir)
      undecoded = {"image": tfds.decode.SkipDecoding()}
      self._source = builder.as_data_source("train", decoders=undecoded)
    record, (h, w), bucket = planned
    picture = decode(self._source[record]["image"], self._ids[record])
    return resize(picture, int(h), int(w)), self._tokens[record], bucket


def collate(rows):
  """Tensors of a batch, padded to its canvas."""
  import torch

  bucket = rows[0][2]
  image = torch.zeros(len(rows), 1, bucket.height, bucket.width, dtype=torch.uint8)
  tokens = torch.zeros(len(rows), bucket.length, dtype=torch.int32)
  for i, (picture, words, _) in enumerate(rows):
    image[i, 0, : picture.shape[0], : picture.shape[1]] = torch.from_numpy(picture)
    tokens[i, : len(words)] = torch.tensor(words, dtype=torch.int32)
  return image, tokens


def steady(batches) -> float:
  """Batches a second, without the first: that one waits for workers to start."""
  iterator = iter(batches)
  next(iterator)
  start = time.perf_counter()
  count = sum(1 for _ in iterator)
  return count / (time.perf_counter() - start)


def speed(builder, steps: int, rounds: int) -> str:
  import torch

  torch.set_num_threads(1)
  index, records, tokens = read(builder)
  plan = Plan(index.sizes, index.lengths, Options(**SMALL), train=True)
  planned = [plan[s] for s in range(steps)]
  pictures = np.mean([(b.records >= 0).sum() for b in planned])
  theirs = [
      [(int(r), s, b.bucket) for r, s in zip(b.records, b.sizes) if r >= 0] for b in planned
  ]
  data = TorchPictures(str(builder.data_dir), index.ids, tokens)

  def ours(workers):
    # A whole batch is a worker's unit for both; two batches a worker are made ahead.
    batches = pipeline.batches(plan, records, tokens, threads=workers, prefetch=2 * workers)
    return steady(itertools.islice(batches, steps))

  rows = []
  for workers in (1, 2):
    # Spawned: the readers of ArrayRecord have threads, and do not survive a fork.
    loader = torch.utils.data.DataLoader(
        data,
        batch_sampler=theirs,
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=True,
        multiprocessing_context="spawn",
    )
    steady(loader)  # starts the workers
    rates = np.array([[ours(workers), steady(loader)] for _ in range(rounds)]) * pictures
    del loader
    middle = np.median(rates, axis=0)
    ratios = rates[:, 0] / rates[:, 1]
    spread = f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"
    rows.append((workers, f"{middle[0]:,.0f}", f"{middle[1]:,.0f}", spread))
  head = ("workers", "ours, pictures/s", "PyTorch DataLoader, pictures/s", "ratio of a round")
  return table(head, rows)


def padding(builder) -> str:
  index = load_index(builder, "train")
  kept = np.flatnonzero(index.lengths <= 200)
  sizes = index.sizes[kept]
  batches = reference_batches(sizes)
  used = np.concatenate(batches)
  shapes = {tuple(sizes[b].max(0)) for b in batches}
  waste = 1 - sizes[used].astype(float).prod(-1).sum() / padded_pixels(sizes, batches)
  rows = [("by area, at most 8, 320,000 pixels", len(batches), len(shapes), f"{waste:.1%}")]
  for most in (8, 16, 24):
    # high as the largest picture: nothing is resized, as by area.
    o = Options(batch=8, max_pixels=320_000, max_buckets=most, low=(1, 1), high=(1024, 2560))
    plan = Plan(index.sizes, index.lengths, o, train=True)
    name = f"plan, {most} shapes, at most 8, 320,000 pixels"
    rows.append((name, len(plan), len(plan.buckets), f"{plan.padding_waste():.1%}"))
  return table(("batches", "steps an epoch", "shapes", "padding"), rows)


def wait(data_dir: str, steps: int, overrides: list[str]) -> str:
  """Starts a training run, stops it after `steps` steps, and reads its log."""
  with tempfile.TemporaryDirectory() as workdir:
    command = [
        sys.executable, "-m", "mmjax.main", "--config=configs/crohme/bttr_small.py",
        f"--workdir={workdir}/run", f"--config.data.dir={data_dir}", *overrides,
    ]  # fmt: skip
    log = pathlib.Path(workdir, "run", "metrics.jsonl")
    with open(pathlib.Path(workdir, "said"), "w") as said:
      process = subprocess.Popen(command, stderr=said, stdout=said)
    while process.poll() is None and not (log.exists() and steps <= _last_step(log)):
      time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.wait()
    if not log.exists():
      raise RuntimeError(pathlib.Path(workdir, "said").read_text())
    found = [json.loads(line) for line in log.read_text().splitlines()]
  found = [f for f in found if "train/input_wait" in f][1:]  # the first has the start in it
  rows = [
      (f["step"], f"{f['train/step_seconds']:.2f}", f"{f['train/input_wait']:.2%}") for f in found
  ]
  return table(("to step", "seconds a step", "waiting for input"), rows)


def _last_step(log: pathlib.Path) -> int:
  lines = log.read_text().splitlines()
  return json.loads(lines[-1])["step"] if lines else 0


class Repeated(tfds.core.GeneratorBasedBuilder):
  """The training split of a data set, `times` over."""

  VERSION = tfds.core.Version("1.0.0")
  code_path = epath.Path(__file__)

  def __init__(self, *, of, times: int, **of_tfds):
    self._of, self._times = of, times
    super().__init__(**of_tfds)

  def _info(self):
    words = tfds.core.MetadataDict(vocabulary=self._of.info.metadata["vocabulary"])
    return tfds.core.DatasetInfo(
        builder=self, features=formula_features(), metadata=words, disable_shuffling=True
    )

  def _split_generators(self, dl_manager):
    return {"train": self._generate_examples()}

  def _generate_examples(self):
    undecoded = {"image": tfds.decode.SkipDecoding()}
    source = self._of.as_data_source("train", decoders=undecoded)
    numbers = [i % len(source) for i in range(len(source) * self._times)]
    return parts.examples(numbers, source.__getitem__, name="writing", rejected=print)


def memory(builder) -> str:
  rows = []
  for times in (1, 10):
    with tempfile.TemporaryDirectory() as folder:
      made = Repeated(of=builder, times=times, data_dir=folder)
      with in_given_order():
        made.download_and_prepare(file_format="array_record")
      code = f"from benchmarks import pipeline_speed as p; p.measure({str(made.data_dir)!r})"
      done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
      rows.append(json.loads(done.stdout.splitlines()[-1]))
  first, second = rows
  more = second["records"] - first["records"]
  out = []
  for name in first:
    a, b = first[name], second[name]
    if name == "records":
      out.append((name, f"{a:,}", f"{b:,}", ""))
    else:
      out.append((f"{name}, MB", f"{a / 1e6:.0f}", f"{b / 1e6:.0f}", f"{(b - a) / more:.0f}"))
  return table(("", "1 x", "10 x", "bytes for each record more"), out)


def measure(data_dir: str) -> None:
  """Prints what a process holds after each stage, as JSON; pages of the files do not count."""

  def held() -> int:
    with open("/proc/self/status") as status:
      return next(int(s.split()[1]) * 1024 for s in status if s.startswith("RssAnon"))

  builder = tfds.builder_from_directory(data_dir)
  found = {"program": held()}
  index, records, tokens = read(builder)
  found["and index, tokens"] = held()
  plan = Plan(index.sizes, index.lengths, Options(**SMALL), train=True, epochs=3)
  plan[0]
  found["and plan"] = held()
  for count, _ in enumerate(pipeline.batches(plan, records, tokens)):
    if count in (50, 250):
      found[f"and {count} batches"] = held()
    if count == 250:
      break
  print(json.dumps({"records": len(index.ids), **found}))


def main() -> None:
  usage = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawTextHelpFormatter
  )
  usage.add_argument("parts", nargs="+", choices=("speed", "padding", "wait", "memory"))
  usage.add_argument("--data_dir", default=datasets.default_data_dir())
  usage.add_argument("--steps", type=int, default=100, help="batches of a round of `speed`")
  usage.add_argument("--rounds", type=int, default=5)
  usage.add_argument("--train_steps", type=int, default=30, help="steps of `wait`")
  usage.add_argument(
      "--override", action="append", default=[], help="of the run of `wait`: --config.KEY=VALUE"
  )
  a = usage.parse_args()
  builder = datasets.load("crohme", a.data_dir)
  print(f"{len(os.sched_getaffinity(0))} cores")
  for part in a.parts:
    print(f"\n{part}\n", flush=True)
    if part == "speed":
      print(speed(builder, a.steps, a.rounds))
    elif part == "padding":
      print(padding(builder))
    elif part == "wait":
      print(wait(a.data_dir, a.train_steps, a.override))
    else:
      print(memory(builder))


if __name__ == "__main__":
  main()
