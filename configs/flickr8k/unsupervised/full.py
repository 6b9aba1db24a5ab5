r"""Captions of Flickr8k learnt without pairs, last stage: rewards, and two players in turn.

  python -m mmjax.main --config=configs/flickr8k/unsupervised/full.py \
      --config.data.corpus=SENTENCES --config.data.concepts=DETECTIONS \
      --config.players_from.generator=C --config.players_from.discriminator=D --workdir=W

C is the workdir of feature_to_sentence.py, D that of sentence_gan.py; `python -m mmjax.chain` runs
all stages. Over the features that sat_en.py caches; `full.py:zh` for Chinese sentences and words of
concepts. The network of Feng et al., 2019, at half the width, for a CPU. Rows of their table 3:
adversarial reward alone with unpaired.concept, reconstruction and sentence 0; with concepts;
with reconstruction, which is all.
"""

from ml_collections import ConfigDict

from configs.flickr8k import sat_en

SENTENCES = {"en": (4, (8, 20)), "zh": (3, (4, 20))}


def get_config(language="en"):
  c = sat_en.get_config()
  c.task = "unsupervised"
  c.model = ConfigDict()
  c.model.name = "unsupervised_captioner"
  c.model.encoder_name = "efficientnet_lite0"
  c.model.width = 256
  c.model.dropout = 0.2

  c.players_from = ConfigDict()  # workdirs whose generator and discriminator this run begins with
  c.players_from.generator = ""
  c.players_from.discriminator = ""

  c.data.texts = "none"
  c.data.language = language
  c.data.corpus = ""  # sentences: see mmjax/text/corpus.py
  c.data.concepts = ""  # detections: see mmjax/text/concepts.py
  c.data.min_count, c.data.sentence_words = SENTENCES[language]  # fewest and most words
  c.data.batch = 128

  c.unpaired = ConfigDict()  # weights of the terms; see mmjax/tasks/unsupervised.py
  c.unpaired.adversarial = 1.0
  c.unpaired.concept = 10.0
  c.unpaired.reconstruction = 100.0  # of a mean over channels: 0.2 of a sum over 512
  c.unpaired.sentence = 1.0
  c.unpaired.discount = 0.9
  c.unpaired.limit = 5.0
  c.unpaired.smoothing = 0.25

  c.optim.lr = 1e-3
  c.optim.schedule = "constant"
  c.optim.b1 = 0.5
  c.optim.clip_value = 0.0
  c.optim.clip = 10.0
  c.optim.ema = 0.0

  c.train.epochs = 60

  c.decode.beam = 3
  c.decode.max_length = 19
  c.decode.normalise = "sum"
  c.decode.length_penalty = 0.0

  c.evaluate.every_epochs = 5
  c.evaluate.metrics = ("bleu", "meteor", "rouge_l", "cider")
  c.evaluate.metric = "bleu_4"
  return c
