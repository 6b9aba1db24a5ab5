r"""A small CLIP with a head for grammar on Flickr8k in English: the judge of CLIP rewards.

  python -m mmjax.main --config=configs/flickr8k/clip.py --workdir=CLIP

Over the features that sat_en.py caches; `configs/flickr8k/clip.py:zh` for the Chinese captions.
Scores are recalls over all pictures of a split: of their five captions, and of the picture given
one of them.
"""

from ml_collections import ConfigDict

from configs.flickr8k import sat_en


def get_config(language="en"):
  c = sat_en.get_config()
  c.task = "contrastive"
  c.model = ConfigDict()
  c.model.name = "small_clip"
  c.model.encoder_name = "efficientnet_lite0"
  c.model.features = 256
  c.model.width = 256
  c.model.heads = 4
  c.model.layers = 3
  c.model.hidden = 512
  c.model.dropout = 0.2

  c.data.language = language
  c.data.texts = "one"  # another of a picture's captions every epoch
  c.data.batch = 256  # all other pictures of it are negatives
  c.data.max_buckets = 4

  c.optim.lr = 1e-3
  c.optim.warmup_steps = 100
  c.optim.weight_decay = 0.05
  c.optim.clip_value = 0.0
  c.optim.clip = 1.0
  c.train.epochs = 60

  c.contrastive = ConfigDict()
  c.contrastive.grammar = 3.0  # weight of telling sound captions from damaged ones; 0: not learnt

  c.decode = ConfigDict()  # no text is written
  del c.evaluate.metrics
  c.evaluate.metric = "recall_mean"
  c.evaluate.every_epochs = 5
  c.log.every_steps = 10
  return c
