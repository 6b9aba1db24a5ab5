r"""The captioner of clip_reward_mle.py, second stage: rewarded for CIDEr-D.

  python -m mmjax.main --config=configs/flickr8k/clip_reward_cider.py \
      --config.init_from=MLE --workdir=W

With `:others` behind the name of the file the baseline is the mean of a picture's other drawn
captions, not the greedy caption.

2 epochs on two busy cores: test CIDEr, greedy, 51.9 to 52.3 (RESULTS.md).
"""

from ml_collections import ConfigDict

from configs.flickr8k import clip_reward_mle


def get_config(baseline="greedy"):
  c = clip_reward_mle.get_config()
  c.task = "self_critical"
  c.data.batch = 32
  c.train.label_smoothing = 0.0
  c.train.epochs = 2
  c.optim.lr = 5e-5
  c.optim.schedule = "constant"
  c.optim.weight_decay = 0.0
  c.optim.b2 = 0.98
  c.optim.clip = 0.1
  c.optim.ema = 0.0

  c.reward = ConfigDict()
  c.reward.samples = 5  # captions drawn of a picture
  c.reward.baseline = baseline  # greedy: its caption's reward; others: the mean of its other ones
  c.reward.temperature = 1.0  # of drawing
  c.reward.dropout = False  # in the pass that has the gradient
  c.reward.kl = 0.0  # weight of the divergence from init_from
  c.reward.judge = ""  # for CLIP-S, RefCLIP-S and grammar: workdir of a run of clip.py or
  # clip_grammar.py, or a published CLIP: a folder of the hub, or weights with merges.txt beside
  c.reward.prompt = True  # a published CLIP reads captions behind "A photo depicts"
  c.reward.weights = ConfigDict()  # 0: not computed
  c.reward.weights.cider_d = 1.0
  c.reward.weights.bleu_4 = 0.0
  c.reward.weights.clip_s = 0.0
  c.reward.weights.ref_clip_s = 0.0
  c.reward.weights.grammar = 0.0

  c.evaluate.every_epochs = 1
  return c
