r"""A small BTTR on half-size CROHME pictures, for a CPU.

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/bttr_small.py --workdir=W

814,609 parameters, 8,624 steps of 32; 91 minutes on two busy cores (0.43 s a step).
ExpRate 40.7 % on validation, 21.4 % on test 2014, 21.8 % on test 2016 (RESULTS.md).
"""

from configs.crohme import bttr


def get_config():
  c = bttr.get_config()
  c.model.width = 128
  c.model.heads = 4
  c.model.layers = 2
  c.model.hidden = 512
  c.model.dropout = 0.2
  c.model.growth = 16
  c.model.encoder_layers = (4, 10)  # stride 8 of half-size pictures: the published 16
  c.model.encoder_dropout = 0.1
  c.data.batch = 32
  c.data.scale = 0.5
  c.data.scale_range = (0.85, 1.15)
  c.data.high = (128, 512)
  c.data.max_buckets = 12
  c.data.in_memory = True
  c.optim.name = "adamw"
  c.optim.lr = 1e-3
  c.optim.schedule = "warmup_cosine"
  c.optim.warmup_steps = 500
  c.optim.eps = 1e-8
  c.optim.weight_decay = 1e-2
  c.optim.clip = 5.0
  c.optim.plateau_factor = 0.0
  c.optim.ema = 0.999
  c.train.epochs = 32
  c.decode.max_length = 100
  c.evaluate.every_epochs = 4
  return c
