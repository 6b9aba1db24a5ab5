r"""The captioner of clip_reward_mle.py, second stage: rewarded for CLIP-S and CIDEr-D.

  python -m mmjax.main --config=configs/flickr8k/clip_reward_clip_s_cider.py \
      --config.init_from=MLE --config.reward.judge=CLIP --workdir=W

CLIP-S weighs 2, as in the published code.
"""

from configs.flickr8k import clip_reward_clip_s


def get_config():
  c = clip_reward_clip_s.get_config()
  c.reward.weights.cider_d = 1.0
  return c
