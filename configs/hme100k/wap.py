r"""DenseNet-WAP on HME100K, with the recipe of CROHME (Zhang et al., ICPR 2018).

  python -m data_pipelines.prepare hme100k --manual_dir=DIR
  python -m mmjax.main --config=configs/hme100k/wap.py --workdir=W

Photographs are brought to a height of at most 120 pixels. Needs an accelerator.
"""

from configs.crohme import wap


def get_config():
  c = wap.get_config()
  c.data.name = "hme100k"
  c.data.high = (120, 1600)
  c.data.max_area = 4_000_000  # of the photograph as stored
  c.train.epochs = 60
  return c
