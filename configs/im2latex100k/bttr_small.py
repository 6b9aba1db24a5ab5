r"""A small BTTR on printed formulas at half of their size, for a CPU.

  python -m data_pipelines.prepare im2latex100k --manual_dir=DIR
  python -m mmjax.main --config=configs/im2latex100k/bttr_small.py --workdir=W
"""

from configs.crohme import bttr_small


def get_config():
  c = bttr_small.get_config()
  c.data.name = "im2latex100k"
  c.data.high = (96, 416)  # of pictures up to 800 x 800, most of them 50 x 320
  c.data.max_area = 160_000
  c.data.max_tokens = 150  # as in im2markup's training
  c.decode.max_length = 150
  c.train.epochs = 20
  return c
