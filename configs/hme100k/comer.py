r"""CoMER on HME100K, with the recipe of CROHME (Zhao and Gao, ECCV 2022).

  python -m data_pipelines.prepare hme100k --manual_dir=DIR
  python -m mmjax.main --config=configs/hme100k/comer.py --workdir=W

Photographs are brought to a height of at most 120 pixels; 70 epochs, as PosFormer's authors ran
with the same encoder and no change of size. Needs an accelerator.
"""

from configs.crohme import comer


def get_config():
  c = comer.get_config()
  c.data.name = "hme100k"
  c.data.high = (120, 1600)
  c.data.max_area = 4_000_000  # of the photograph as stored
  c.train.epochs = 70
  return c
