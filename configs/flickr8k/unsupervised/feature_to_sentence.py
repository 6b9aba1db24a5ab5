r"""Captions of Flickr8k learnt without pairs, third stage: pictures and made-up captions.

  python -m mmjax.main --config=configs/flickr8k/unsupervised/feature_to_sentence.py \
      --config.data.corpus=SENTENCES --config.data.concepts=DETECTIONS \
      --config.data.captions=CAPTIONS --config.players_from.generator=A --workdir=C

CAPTIONS are those of `python -m mmjax.infer.pseudo_captions` (the second stage), A is the workdir
of concept_to_sentence.py. All of the generator but its look at the picture learns at a tenth of the
rate: the published code has the factor on the gradients, where Adam does not feel it.
"""

from ml_collections import ConfigDict

from configs.flickr8k.unsupervised import full


def get_config(language="en"):
  c = full.get_config(language)
  c.task = "captioning"
  c.unpaired = ConfigDict()
  c.data.texts = "one"
  c.data.captions = ""  # a file of made-up captions, which take the place of those of the data set
  c.data.max_buckets = 1
  c.optim.b1 = 0.9
  c.optim.factors = (
      ("^encoder/", 0.0), ("^discriminator/", 0.0), ("^generator/(embedding|lstm|bias)", 0.1)
  )  # fmt: skip
  c.train.epochs = 40
  return c
