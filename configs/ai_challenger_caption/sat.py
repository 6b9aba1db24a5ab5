r"""Show, Attend and Tell on the whole of AI Challenger 2017 (Chinese), for eight devices.

  pip install 'mmjax[pretrained,captions]'
  python -m data_pipelines.prepare ai_challenger_caption --manual_dir=DIR
  python -m mmjax.main --config=configs/ai_challenger_caption/sat.py --workdir=W

Another number of devices: --config.mesh.data=N. The encoder of the published system instead (its
weights are a file of torchvision's): --config.model.encoder_name=resnet101
--config.model.encoder_grid=14 --config.encoder_from=FILE.pth --config.data.canvas='(256, 256)'.
Features of 210,000 pictures take 26 GB of disk; --config.data.cache_features=False does without.
"""

from configs.flickr8k import sat_zh


def get_config():
  c = sat_zh.get_config()
  c.mesh.data = 8
  c.data.name = "ai_challenger_caption"
  c.data.min_count = 4
  c.data.max_tokens = 40
  c.data.batch = 128
  c.data.threads = 8
  c.data.prefetch = 8

  c.model.hidden = 512
  c.model.embedding = 512
  c.model.attention = 512
  c.model.dtype = "bfloat16"

  c.optim.warmup_steps = 1000
  c.train.epochs = 20
  c.evaluate.every_epochs = 1
  c.evaluate.batch = 256
  c.checkpoint.every_steps = 2000
  return c
