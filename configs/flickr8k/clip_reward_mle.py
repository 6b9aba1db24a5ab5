r"""The CLIP-reward captioner on Flickr8k in English, first stage: likelihood.

  python -m mmjax.main --config=configs/flickr8k/clip_reward_mle.py --workdir=MLE

Over the features that sat_en.py caches. Smaller than the published network (6 + 6 layers of 512,
cells of CLIP's residual network), for a CPU.

12 epochs on two busy cores: test BLEU-4 21.2, CIDEr 53.6 with a beam of 3 (RESULTS.md).
"""

from configs.flickr8k import transformer_en


def get_config():
  c = transformer_en.get_config()
  c.model.name = "clip_reward_captioner"
  c.model.feature_dropout = 0.5
  c.decode.max_length = 20
  return c
