"""Which metrics there are: a row for each, and what its texts must look like."""

import difflib
import importlib
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from mmjax.metrics.measured import Measured, NotAvailableError

Preparation = Literal["caption", "formula", "raw"]


class Metric(NamedTuple):
  """A row of `METRICS`.

  Attributes:
    module: has `measure(references, hypotheses, **needs) -> Measured`, where references are lists
      of texts, and hypotheses texts; None is one that was dropped, in formulas alone.
    preparation: `caption`, words of the language; `formula`, LaTeX tokens; `raw`, as written. The
      first two are joined by single blanks.
    scores: what it measures.
    meaning: a line of help.
    needs: what `measure` takes besides texts, by name.
    optional: what it takes besides texts where it is given.
    corpus: scores of a function `corpus(sets)` beside `measure`: they do not add up over samples,
      so they have no interval.
    missing: why a score may be left out, and what to do.
    beside: beginnings of scores that are told with any other, as what drew the pictures.
  """

  module: str
  preparation: Preparation
  scores: tuple[str, ...]
  meaning: str
  needs: tuple[str, ...] = ()
  optional: tuple[str, ...] = ()
  corpus: tuple[str, ...] = ()
  missing: dict[str, str] = {}
  beside: tuple[str, ...] = ()


_RATES = ("exprate", "exprate_1", "exprate_2", "ser")
METRICS = {
    "bleu": Metric("mmjax.metrics.bleu", "caption", ("bleu_1", "bleu_2", "bleu_3", "bleu_4"),
                   "n-gram precision (Papineni et al., 2002)"),
    "meteor": Metric("mmjax.metrics.meteor", "caption", ("meteor",),
                     "words, stems and synonyms aligned (Denkowski and Lavie, 2014)",
                     missing={"meteor": "without the data in pycocoevalcap it is"
                              " meteor_exact_stem, of exact and stem matches alone"}),
    "rouge_l": Metric("mmjax.metrics.rouge_l", "caption", ("rouge_l",),
                      "longest common subsequence (Lin, 2004)"),
    "cider": Metric("mmjax.metrics.cider", "caption", ("cider", "cider_d", "cider_plain"),
                    "tf-idf weighted n-grams (Vedantam et al., 2015)"),
    "spice": Metric("mmjax.metrics.spice", "caption", ("spice",),
                    "scene graphs (Anderson et al., 2016)"),
    "clipscore": Metric("mmjax.metrics.clipscore", "raw",
                        ("clipscore", "refclipscore", "refclipscore_reward"),
                        "fit to picture and references by CLIP (Hessel et al., 2021)",
                        needs=("clip_embeddings",), optional=("ids",)),
    "fine_cap_eval": Metric("mmjax.metrics.fine_cap_eval", "raw",
                            tuple(f"fine_{name}{behind}" for behind in ("", "_tokens")
                                  for name in ("background", "object", "relation", "mean")),
                            "what annotators saw, by word (Cho et al., 2022); of FineCapEval.csv",
                            needs=("phrases",), optional=("ids",)),
    "diversity": Metric("mmjax.metrics.diversity", "caption",
                        ("self_cider", "length_mean", "length_sd", "repetition", "novelty",
                         "vocabulary", "distinct_1", "distinct_2"),
                        "within pictures (Wang and Chan, 2019), over the corpus, against training",
                        optional=("sets", "train_captions"),
                        corpus=("vocabulary", "distinct_1", "distinct_2"),
                        missing={"self_cider": "give two or more hypotheses of each sample",
                                 "novelty": "give --train_captions=FILE"}),
    "exprate": Metric("mmjax.metrics.exprate", "formula",
                      (*_RATES, *(f"normalised_{name}" for name in _RATES)),
                      "formulas recognised with at most 0, 1, 2 errors; symbol error rate"),
    "exprate_tree": Metric("mmjax.metrics.exprate_tree", "formula",
                           ("exprate_tree", "exprate_tree_1", "exprate_tree_2", "structure_rate"),
                           "formulas recognised, by symbol layout as CROHME counts"),
    "im2latex": Metric("mmjax.metrics.im2latex", "formula", ("bleu_multi", "edit", "exact"),
                       "BLEU and edit distance of formulas (Deng et al., 2017)"),
    "formula_image": Metric("mmjax.metrics.formula_image", "formula",
                            ("image_exact", "image_exact_no_space", "image_edit"),
                            "formulas drawn, by TeX if there, and compared (Deng et al., 2017)",
                            beside=("drawn_", "references_drawn_")),
    "cdm": Metric("mmjax.metrics.cdm", "formula", ("cdm", "exprate_cdm"),
                  "characters of the rendered formula matched (Wang et al., 2024)"),
}  # fmt: skip


class Choice(NamedTuple):
  """A metric, and the scores of it that were asked for; None: all that it gives."""

  name: str
  metric: Metric
  scores: tuple[str, ...] | None


def choose(names: Iterable[str]) -> list[Choice]:
  """The metrics to compute for names of metrics (all their scores) and of single scores.

  A name that is both (`cider`) means the metric.

  Raises:
    ValueError: a name that is neither, with those like it; or none at all.
  """
  owner = {score: name for name, metric in METRICS.items() for score in metric.scores}
  chosen: dict[str, tuple[str, ...] | None] = {}
  for name in names:
    if name in METRICS:
      chosen[name] = None
    elif name in owner:
      before = chosen.get(owner[name], ())
      chosen[owner[name]] = None if before is None else (*before, name)
    else:
      near = difflib.get_close_matches(name, {**METRICS, **owner}, n=3)
      hint = f"did you mean {', '.join(near)}" if near else f"there are {', '.join(METRICS)}"
      raise ValueError(f"no metric {name!r}; {hint}")
  if not chosen:
    raise ValueError(f"no metric is named; there are {', '.join(METRICS)}")
  return [Choice(name, METRICS[name], scores) for name, scores in chosen.items()]


def measure(
    metric: Metric, references: Sequence[Sequence[str]], hypotheses: Sequence[str | None], **given
) -> Measured:
  """Measures prepared texts.

  Args:
    metric: a row.
    references: texts of each sample, prepared as the row says.
    hypotheses: one text of each sample.
    **given: whatever there is besides texts; the row picks what it takes.

  Raises:
    NotAvailableError: something is missing to compute it, or it failed.
    ValueError: the texts cannot be scored.
  """
  missing = [name for name in metric.needs if given.get(name) is None]
  if missing:
    raise NotAvailableError("give " + " and ".join(f"--{name}=FILE" for name in missing))
  extra = {name: given.get(name) for name in (*metric.needs, *metric.optional)}
  extra = {name: value for name, value in extra.items() if value is not None}
  return _call(metric, "measure", references, hypotheses, **extra)


def score(
    names: Iterable[str],
    hypotheses: Sequence[Sequence[str] | None],
    references: Sequence[Sequence[str]],
) -> dict[str, float]:
  """Corpus scores of texts prepared as the metrics want them.

  Args:
    names: as `choose` takes them.
    hypotheses: words of each sample, or None where it was dropped.
    references: texts of each sample, words joined by single blanks.

  Raises:
    NotAvailableError: a metric cannot be computed here.
    ValueError: an unknown name, or tokens that cannot be scored.
  """
  texts = [None if tokens is None else " ".join(tokens) for tokens in hypotheses]
  out = {}
  for choice in choose(names):
    for name, value in measure(choice.metric, references, texts).corpus().items():
      if choice.scores is None or name in choice.scores:
        out[name] = value
  return out


def corpus(metric: Metric, sets: Sequence[Sequence[str]]) -> dict[str, float]:
  """Scores that do not add up over samples, of all texts of each sample.

  Raises:
    NotAvailableError: it failed.
  """
  return _call(metric, "corpus", sets) if metric.corpus else {}


def _call(metric: Metric, name: str, *args, **kwargs):
  try:
    function = getattr(importlib.import_module(metric.module), name)
  except (ImportError, AttributeError) as e:
    raise NotAvailableError(f"{e}; pip install 'mmjax[metrics]' brings what metrics need") from e
  try:
    return function(*args, **kwargs)
  except NotAvailableError:
    raise
  except (ImportError, OSError, RuntimeError) as e:
    raise NotAvailableError(str(e).removeprefix("not available: ") or type(e).__name__) from e
