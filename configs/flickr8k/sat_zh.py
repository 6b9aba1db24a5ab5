r"""Show, Attend and Tell on Flickr8k in Chinese, over the features that sat_en.py caches.

  python -m mmjax.main --config=configs/flickr8k/sat_zh.py --workdir=W
"""

from configs.flickr8k import sat_en


def get_config():
  c = sat_en.get_config()
  c.data.language = "zh"
  return c
