r"""Captions of Flickr8k learnt without pairs, first stage: sentences from their shuffled concepts.

  python -m mmjax.main --config=configs/flickr8k/unsupervised/concept_to_sentence.py \
      --config.data.corpus=SENTENCES --config.data.concepts=DETECTIONS --workdir=A

The discriminator reads, the generator writes; the first 2 % of the corpus validate. Then
`python -m mmjax.infer.pseudo_captions` writes a sentence for the concepts of each picture.
"""

from ml_collections import ConfigDict

from configs.flickr8k.unsupervised import full


def get_config(language="en"):
  c = full.get_config(language)
  c.task = "rewriting"
  c.unpaired = ConfigDict()
  c.unpaired.source = "concepts"
  c.data.texts = "corpus"
  c.data.canvas = (1, 1)  # there are no pictures
  c.data.cache_features = False
  c.data.max_buckets = 1
  c.optim.b1 = 0.9
  c.train.epochs = 30
  c.evaluate.every_epochs = 4
  c.evaluate.metrics = ("bleu", "cider")
  return c
