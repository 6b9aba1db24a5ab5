r"""SAN on HME100K, with the recipe of CROHME (Yuan et al., CVPR 2022).

  python -m data_pipelines.prepare hme100k --manual_dir=DIR
  python -m mmjax.main --config=configs/hme100k/san.py --workdir=W

Photographs are brought to a height of at most 120 pixels. Of the published labels at hand all but
0.1 % are trees (`python -m mmjax.text.san_coverage`). Needs an accelerator.
"""

from configs.crohme import san


def get_config():
  c = san.get_config()
  c.data.name = "hme100k"
  c.data.high = (120, 1600)
  c.data.max_area = 4_000_000  # of the photograph as stored
  c.train.epochs = 60
  return c
