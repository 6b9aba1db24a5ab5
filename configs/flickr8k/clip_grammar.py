r"""A published CLIP that learns to tell sound captions from damaged ones on Flickr8k in English.

  python -m mmjax.main --config=configs/flickr8k/clip_grammar.py --config.init_from=CLIP \
      --workdir=JUDGE

CLIP is ViT-B/32: a folder of the Hugging Face hub with `merges.txt`, or OpenAI's weights with
`bpe_simple_vocab_16e6.txt.gz` beside them; of another size, say so under `config.model`. The tower
of pictures and its projection are frozen and see each picture once; the text's tower, its
projection, the scale and a head for grammar are trained. JUDGE is a judge for
`--config.reward.judge` of clip_reward_grammar.py.

The published recipe (Cho et al., 2022) has batches of 1,600 on COCO and lets norms' scales decay;
here only matrices do, and words that are rare in training are read as `unk`.
"""

from ml_collections import ConfigDict

from configs.flickr8k import clip


def get_config():
  c = clip.get_config()
  c.encoder_from = ""
  c.model = ConfigDict()
  c.model.name = "word_clip"
  c.model.features = 512
  c.model.picture_size = 224
  c.model.image_width = 768
  c.model.image_layers = 12  # four numbers for a residual network
  c.model.patch = 32
  c.model.text_words = 49_408
  c.model.text_width = 512
  c.model.text_layers = 12
  c.model.text_length = 77
  c.model.pieces = 8  # most of a word
  c.model.prompt = False  # in training; `config.reward.prompt` is for rewards

  c.data.resize = "crop"
  c.data.canvas = (224, 224)
  c.data.batch = 256

  c.optim.lr = 1e-4
  c.optim.schedule = "constant"
  c.optim.eps = 1e-6
  c.optim.weight_decay = 0.01
  c.optim.clip = 0.0
  c.optim.ema = 0.0
  c.train.epochs = 30
  c.evaluate.every_epochs = 1
  return c
