"""A metric as simple as can be, for tests of what is done with metrics."""

import numpy as np

from mmjax.metrics.measured import Measured


def measure(references, hypotheses) -> Measured:
  """`same`: share of texts that equal a reference; `ratio`: words per word of the first one."""
  rows = [
      (h in r, len((h or "").split()), len(r[0].split()), 1.0)
      for r, h in zip(references, hypotheses)]
  return Measured(np.array(rows, float), lambda s: {
      "same": s[..., 0] / s[..., 3], "ratio": s[..., 1] / s[..., 2]})
