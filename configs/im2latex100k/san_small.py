r"""A small SAN on printed formulas at half of their size, for a CPU.

  python -m data_pipelines.prepare im2latex100k --manual_dir=DIR
  python -m mmjax.main --config=configs/im2latex100k/san_small.py --workdir=W

Arrays, and braces that show (`{ \cal L }`), are no trees: a fifth of the formulas is left out of
training and counts as wrong (`python -m mmjax.text.san_coverage`).
"""

from configs.crohme import san_small
from configs.im2latex100k import bttr_small


def get_config():
  c = san_small.get_config()
  c.data = bttr_small.get_config().data
  c.decode.max_length = c.data.max_tokens
  c.train.epochs = 20
  return c
