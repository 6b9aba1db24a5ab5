r"""A small CoMER on half-size CROHME pictures, for a CPU.

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/comer_small.py --workdir=W
"""

from configs.crohme import bttr_small


def get_config():
  c = bttr_small.get_config()
  c.model.name = "comer"
  c.model.coverage = ("self", "cross")
  c.model.coverage_channels = 16
  c.decode.normalise = "each"
  c.evaluate.batch = 4
  return c
