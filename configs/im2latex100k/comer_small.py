r"""A small CoMER on printed formulas at half of their size, for a CPU.

  python -m data_pipelines.prepare im2latex100k --manual_dir=DIR
  python -m mmjax.main --config=configs/im2latex100k/comer_small.py --workdir=W
"""

from configs.crohme import comer_small
from configs.im2latex100k import bttr_small


def get_config():
  c = comer_small.get_config()
  small = bttr_small.get_config()
  c.data = small.data
  c.train = small.train
  c.decode.max_length = small.decode.max_length
  return c
