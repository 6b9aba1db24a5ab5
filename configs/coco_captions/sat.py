r"""Show, Attend and Tell on COCO as published: ResNet-101, 14 x 14 cells, decoder trained alone.

  python -m data_pipelines.prepare coco_captions --manual_dir=DIR
  python -m mmjax.main --config=configs/coco_captions/sat.py --workdir=W \
      --config.encoder_from=resnet101.pth

The second stage trains the encoder from its second stage of blocks on, at a quarter of the rate:

  python -m mmjax.main --config=configs/coco_captions/sat.py --workdir=W2 --config.init_from=W \
      --config.data.batch=32 --config.data.cache_features=False \
      --config.optim.factors="(('encoder/(stem|stage1)', 0.0), ('encoder/', 0.25))"

Published: BLEU-4 33.29 on the test split with a beam of 5, by a scorer of its own over word
numbers. Nobody has run this here: COCO's pictures and the weights were not at hand.
"""

from configs.flickr8k import sat_en


def get_config():
  c = sat_en.get_config()
  c.encoder_from = ""
  c.model.encoder_name = "resnet101"
  c.model.encoder_grid = 14
  c.model.hidden = 512
  c.model.embedding = 512
  c.model.attention = 512

  c.data.name = "coco_captions"
  c.data.texts = "each"
  c.data.min_count = 6
  c.data.max_tokens = 50
  c.data.batch = 80
  c.data.canvas = (256, 256)
  c.data.interpolation = "bilinear"
  c.data.cache_features = False

  c.optim.lr = 4e-4
  c.optim.schedule = "constant"
  c.optim.ema = 0.0
  c.optim.plateau_factor = 0.8
  c.optim.plateau_patience = 8

  c.train.epochs = 120
  c.decode.beam = 5
  c.decode.max_length = 51
  c.decode.normalise = "sum"
  c.decode.length_penalty = 0.0
  c.evaluate.every_epochs = 1
  c.evaluate.metric = "bleu_4"
  return c
