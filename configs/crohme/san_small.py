r"""A small SAN on half-size CROHME pictures, for a CPU.

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/san_small.py --workdir=W
"""

from configs.crohme import can_small, san


def get_config():
  small = can_small.get_config()
  c = san.get_config()
  sizes = small.model.copy_and_resolve_references()
  sizes.name = c.model.name
  del sizes.counting
  c.model = sizes
  c.data = small.data
  c.optim = small.optim
  c.train = small.train
  c.decode.max_length = small.decode.max_length
  c.evaluate.every_epochs = small.evaluate.every_epochs
  return c
