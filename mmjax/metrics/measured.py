"""What every metric returns: numbers of each sample that add up, and how sums become scores."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Scores = dict[str, Float[np.ndarray, "*R"]]


class NotAvailableError(RuntimeError):
  """A metric cannot be computed here; says what to install or to give."""


class Measured(NamedTuple):
  """Statistics of N samples.

  A corpus score is `summarise` of the summed rows, a sample's score `summarise` of its own row; so
  resampling for a confidence interval is one matrix product, whatever the metric.

  Attributes:
    statistics: [N, S] float64; rows add up over samples.
    summarise: sums [..., S] -> {name: scores [...]}.
  """

  statistics: Float[np.ndarray, "N S"]
  summarise: Callable[[Float[np.ndarray, "*R S"]], Scores]

  def corpus(self) -> dict[str, float]:
    """Scores of all samples together."""
    return {name: float(v) for name, v in self.summarise(self.statistics.sum(0)).items()}

  def samples(self) -> Scores:
    """Scores [N] of each sample by itself."""
    return self.summarise(self.statistics)
