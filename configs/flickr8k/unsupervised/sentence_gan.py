r"""Captions of Flickr8k learnt without pairs, fifth stage: a discriminator of sentences from noise.

  python -m mmjax.main --config=configs/flickr8k/unsupervised/sentence_gan.py \
      --config.data.corpus=SENTENCES --config.data.concepts=DETECTIONS \
      --config.players_from.generator=B --config.players_from.discriminator=B --workdir=D

B is the workdir of sentence_autoencoder.py. The generator begins with noise and is rewarded for
what the discriminator takes for real. No score says when the discriminator is good: the last step
is kept, and what is decoded of noise is only to be looked at.
"""

from configs.flickr8k.unsupervised import concept_to_sentence, full


def get_config(language="en"):
  c = concept_to_sentence.get_config(language)
  c.task = "unsupervised"
  c.unpaired = full.get_config(language).unpaired
  c.unpaired.start = "noise"
  c.unpaired.concept = 0.0
  c.unpaired.reconstruction = 0.0
  c.unpaired.sentence = 0.0
  c.optim.b1 = 0.5
  c.optim.lr = 1e-4
  c.train.epochs = 15
  c.evaluate.every_epochs = 1_000_000  # after the last one alone
  return c
