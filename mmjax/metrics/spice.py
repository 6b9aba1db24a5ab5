"""SPICE by its official program, where this machine has it; there is no other implementation.

Source: P. Anderson, B. Fernando, M. Johnson and S. Gould, "SPICE: Semantic Propositional Image
Caption Evaluation", ECCV 2016. The program (AGPL-3, Java) comes with the package pycocoevalcap, the
language models that it needs do not.
"""

import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mmjax.metrics.measured import Measured, NotAvailableError, Scores

_MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
# The program writes its answer with Java's JavaScript engine, which left Java after version 14.
_JAVA = range(8, 15)
_MEMORY = "8G"


def measure(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> Measured:
  """SPICE of captions; the corpus score is the mean.

  Args:
    references: one or more captions of each of N pictures.
    hypotheses: one caption of each picture.

  Returns:
    The score `spice`, with [N, 2] statistics: F of a sample, and 1.

  Raises:
    NotAvailableError: the program, its models or a fitting Java are missing, or it failed.
    ValueError: numbers of samples differ, or a sample has no reference.
  """
  if len(references) != len(hypotheses) or not hypotheses:
    raise ValueError(f"{len(hypotheses)} hypotheses for {len(references)} lists of references; "
                     "give one hypothesis for each list, and at least one")
  for i, captions in enumerate(references):
    if isinstance(captions, str) or not captions:
      raise ValueError(f"references[{i}] is {captions!r}; give a list of captions")
  java, program = _find()
  with tempfile.TemporaryDirectory() as folder:
    given, answer = pathlib.Path(folder, "captions.json"), pathlib.Path(folder, "scores.json")
    given.write_text(json.dumps([
      {"image_id": i, "test": text, "refs": list(captions)}
      for i, (captions, text) in enumerate(zip(references, hypotheses))]), encoding="ascii")
    run = subprocess.run(
      [java, f"-Xmx{_MEMORY}", "-jar", program.name, given, "-out", answer, "-silent"],
      cwd=program.parent, capture_output=True, text=True, errors="replace")
    if run.returncode or not answer.is_file():
      raise NotAvailableError(f"not available: {program} ended with code {run.returncode}: "
                              f"{run.stderr.strip()[-500:]}")
    return read(answer.read_text(encoding="utf-8"), len(hypotheses))


def read(answer: str, samples: int) -> Measured:
  """Reads the program's answer to samples that are numbered from 0.

  Args:
    answer: JSON, a list of `{"image_id": number, "scores": {"All": {"f": F, ...}}}`.
    samples: N.

  Raises:
    NotAvailableError: the answer is not of this form or does not hold each sample once.
  """
  try:
    scores = {item["image_id"]: float(item["scores"]["All"]["f"]) for item in json.loads(answer)}
  except (ValueError, KeyError, TypeError) as error:
    raise NotAvailableError(f"not available: the SPICE program wrote {answer[:100]!r}, which is "
                            f"not the form that it should have ({error!r})") from error
  if scores.keys() != set(range(samples)):
    raise NotAvailableError(f"not available: the SPICE program scored {len(scores)} of {samples} "
                            "captions")
  return Measured(np.array([[scores[i], 1] for i in range(samples)]), _summarise)


def _summarise(sums: Float[np.ndarray, "*R S"]) -> Scores:
  return {"spice": sums[..., 0] / sums[..., 1]}


def _find() -> tuple[str, pathlib.Path]:
  """Java, and the program with its models beside it."""
  found = importlib.util.find_spec("pycocoevalcap")
  programs = [pathlib.Path(folder, "spice", "spice-1.0.jar")
              for folder in (found and found.submodule_search_locations) or ()]
  program = next((path for path in programs if path.is_file()), None)
  if program is None:
    raise NotAvailableError("not available: SPICE needs the package pycocoevalcap; "
                            "`pip install mmjax[metrics]` brings it")
  missing = [name for name in _MODELS if not (program.parent / "lib" / name).is_file()]
  if missing:
    raise NotAvailableError(
      f"not available: SPICE needs {' and '.join(missing)} in {program.parent / 'lib'}; they are "
      "in stanford-corenlp-full-2015-12-09.zip of https://nlp.stanford.edu/software")
  java = shutil.which("java")
  if java is None:
    raise NotAvailableError("not available: SPICE needs Java 8 to 14, and there is no `java`")
  banner = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
  version = re.search(r'version "(?:1\.)?(\d+)', banner)
  if version is None or int(version[1]) not in _JAVA:
    raise NotAvailableError(f"not available: SPICE needs Java 8 to 14, {java} says {banner[:60]!r}")
  return java, program
