r"""A small BTTR on CROHME and on pictures composed from the strokes of its training formulas.

  python -m data_pipelines.prepare crohme_composed --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/bttr_small_composed.py --workdir=W

As bttr_small.py with 20,000 more pictures in train, in about the same number of steps; validation
and tests are CROHME's own. To go on with CROHME alone from there:

  python -m mmjax.main --config=configs/crohme/bttr_small.py --workdir=W2 --config.init_from=W
"""

from configs.crohme import bttr_small


def get_config():
  c = bttr_small.get_config()
  c.data.name = "crohme_composed"
  c.train.epochs = 10
  c.evaluate.every_epochs = 2
  return c
