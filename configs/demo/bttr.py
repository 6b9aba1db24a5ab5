r"""A small BTTR on generated formulas: what `make demo` trains.

  python -m data_pipelines.prepare synthetic --data_dir=workdirs/data
  python -m mmjax.main --config=configs/demo/bttr.py --workdir=workdirs/demo

351,835 parameters, 1,570 steps of 32; 82.8 % ExpRate on the test split (RESULTS.md).
"""

from configs import base


def get_config():
  c = base.get_config()
  c.model.width = 96
  c.model.heads = 4
  c.model.layers = 2
  c.model.hidden = 256
  c.model.dropout = 0.05
  c.model.growth = 12
  c.model.encoder_layers = (2, 8)  # stride 8: the symbols are small
  c.model.encoder_dropout = 0.0
  c.model.mask_features = True
  c.data.name = "synthetic"
  c.data.dir = "workdirs/data"
  c.data.batch = 32
  c.data.max_buckets = 3
  c.data.align = 32
  c.data.in_memory = True
  c.optim.lr = 2e-3
  c.optim.warmup_steps = 200
  c.optim.clip = 5.0
  c.optim.ema = 0.99
  c.train.epochs = 5
  c.decode.max_length = 32
  c.evaluate.batch = 50
  c.evaluate.every_epochs = 5
  c.evaluate.max_buckets = 2
  c.checkpoint.every_steps = 200
  return c
