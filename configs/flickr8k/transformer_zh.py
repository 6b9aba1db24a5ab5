r"""A captioning Transformer on Flickr8k in Chinese, over the features that sat_en.py caches.

  python -m mmjax.main --config=configs/flickr8k/transformer_zh.py --workdir=W
"""

from configs.flickr8k import transformer_en


def get_config():
  c = transformer_en.get_config()
  c.data.language = "zh"
  return c
