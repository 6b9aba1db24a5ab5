"""Scores anybody's files: python -m mmjax.metrics --refs=R --hyps=H --metrics=bleu,cider."""

import argparse
import sys
import textwrap
from pathlib import Path

from mmjax.metrics import command, files, registry
from mmjax.metrics.clipscore import Embeddings
from mmjax.metrics.phrases import read_phrases


def main(arguments: list[str] | None = None) -> int:
  """Runs the command; the exit code: 0 scored, 1 nothing could be scored, 2 bad input."""
  parser = _parser()
  o = parser.parse_args(arguments)
  if o.unit == "char" and o.language != "zh":
    parser.error("--unit=char is for --language=zh: English is scored by words")
  if o.samples < 1 or o.seed < 0:
    parser.error("--samples must be 1 or more, --seed 0 or more")
  options = command.Options(o.language, o.unit, o.intervals, o.samples, o.seed)
  try:
    choices = registry.choose(name.strip() for name in o.metrics.split(",") if name.strip())
    references = files.read_references(o.refs)
    systems = [files.read_hypotheses(path) for path in (o.hyps, o.compare) if path]
    given = {
        "clip_embeddings": o.clip_embeddings and Embeddings.load(o.clip_embeddings),
        "phrases": read_phrases(o.refs) if "fine_cap_eval" in {c.name for c in choices} else None,
        "train_captions": o.train_captions and _all_texts(o.train_captions),
    }
    result = command.score(choices, references, systems, options, given)
  except ValueError as e:
    print(f"metrics: {e}", file=sys.stderr)
    return 2
  try:
    if o.per_sample:
      command.write_per_sample(o.per_sample, result)
  except OSError as e:
    print(f"metrics: --per_sample: {e}", file=sys.stderr)
    return 1
  print((command.as_json if o.json else command.as_table)(result, options))
  return 0 if result.scores else 1


def _all_texts(path: Path) -> list[str]:
  return [text for texts in files.read_references(path).texts.values() for text in texts]


def _parser() -> argparse.ArgumentParser:
  indent = " " * 17
  names = lambda metric: textwrap.fill(", ".join(metric.scores), 90, initial_indent=indent,
                                       subsequent_indent=indent)  # fmt: skip
  rows = "\n".join(f"  {k:<15}{m.meaning}\n{names(m)}" for k, m in registry.METRICS.items())
  parser = argparse.ArgumentParser(
      prog="python -m mmjax.metrics",
      description="Scores hypotheses against references, with intervals from the bootstrap.",
      epilog=f"metrics, and the scores of each (a score may be named alone):\n{rows}\n\nfiles:"
      f"{(files.__doc__ or '').partition('.')[2]}\n"
      "Chinese is cut into words by jieba, unless references hold blanks between characters;\n"
      "a formula without any blank is cut into LaTeX tokens.\n\n"
      "exit code: 0 scored, 1 nothing could be scored, 2 wrong usage or bad input",
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
  )
  add = parser.add_argument
  add("--refs", type=Path, required=True, metavar="FILE", help="references")
  add("--hyps", type=Path, required=True, metavar="FILE", help="hypotheses")
  add("--metrics", default="bleu,meteor,rouge_l,cider", metavar="NAME,...",
      help="what to compute, see below (%(default)s)")  # fmt: skip
  add("--language", choices=("en", "zh"), default="en", help="of captions (%(default)s)")
  add("--unit", choices=("word", "char"), default="word",
      help="of Chinese captions (%(default)s)")  # fmt: skip
  add("--compare", type=Path, metavar="FILE",
      help="hypotheses of another system on the same samples")  # fmt: skip
  add("--clip_embeddings", type=Path, metavar="FILE",
      help="vectors of pictures and texts, of python -m mmjax.infer.embed")  # fmt: skip
  add("--train_captions", type=Path, metavar="FILE",
      help="what the system was trained on, for novelty")  # fmt: skip
  add("--intervals", action=argparse.BooleanOptionalAction, default=True,
      help="95 %% intervals of the scores")  # fmt: skip
  add("--samples", type=int, default=1000, metavar="N", help="resamples (%(default)s)")
  add("--seed", type=int, default=0, metavar="N", help="of the resamples (%(default)s)")
  add("--per_sample", type=Path, metavar="FILE",
      help="write each sample's scores there, as JSON lines")  # fmt: skip
  add("--json", action="store_true", help="print one JSON object")
  return parser


if __name__ == "__main__":
  sys.exit(main())
