r"""Show, Attend and Tell on Flickr8k in English, over cached features of EfficientNet-Lite0.

  pip install 'mmjax[pretrained,captions]'
  python -m data_pipelines.prepare flickr8k --manual_dir=DIR
  python -m mmjax.main --config=configs/flickr8k/sat_en.py --workdir=W

Two CPU cores, 12 epochs, 22 min of steps: BLEU-4 21.6, METEOR 20.1, CIDEr 53.3 on the
test split with a beam of 5 (RESULTS.md).
"""

from configs import base


def get_config():
  c = base.get_config()
  c.task = "captioning"
  c.encoder_from = "package"

  c.model.name = "show_attend_tell"
  c.model.encoder_name = "efficientnet_lite0"
  c.model.hidden = 256
  c.model.embedding = 256
  c.model.attention = 256
  c.model.dropout = 0.5
  c.model.attention_penalty = 1.0

  c.data.name = "flickr8k"
  c.data.texts = "references"
  c.data.language = "en"
  c.data.min_count = 4
  c.data.batch = 16  # pictures, with five captions each
  c.data.max_buckets = 4
  c.data.max_tokens = 32
  c.data.max_area = 100_000_000  # photographs of any size
  c.data.resize = "squash"
  c.data.canvas = (224, 224)
  c.data.interpolation = "bicubic"
  c.data.cache_features = True

  c.optim.lr = 1e-3
  c.optim.warmup_steps = 200
  c.optim.weight_decay = 0.0
  c.optim.clip_value = 5.0
  c.optim.ema = 0.999
  c.optim.factors = (("^encoder/", 0.0),)

  c.train.epochs = 12

  c.decode.beam = 3
  c.decode.max_length = 24
  c.decode.normalise = "each"
  c.decode.length_penalty = 0.7

  c.evaluate.batch = 64
  c.evaluate.max_buckets = 1
  c.evaluate.every_epochs = 2
  c.evaluate.metrics = ("bleu", "meteor", "rouge_l", "cider")
  c.evaluate.metric = "cider"

  c.log.every_steps = 25
  return c
