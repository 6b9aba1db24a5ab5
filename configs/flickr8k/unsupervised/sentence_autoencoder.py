r"""Captions of Flickr8k learnt without pairs, fourth stage: sentences from corrupted copies.

  python -m mmjax.main --config=configs/flickr8k/unsupervised/sentence_autoencoder.py \
      --config.data.corpus=SENTENCES --config.data.concepts=DETECTIONS --workdir=B

The discriminator reads, the generator writes; the first 2 % of the corpus validate. With it
sentence_gan.py begins.
"""

from configs.flickr8k.unsupervised import concept_to_sentence


def get_config(language="en"):
  c = concept_to_sentence.get_config(language)
  c.unpaired.source = "corrupted"
  return c
