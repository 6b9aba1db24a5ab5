r"""DenseNet attention recognizer on HME100K, with the recipe of CROHME (H. Wang, PyTorch).

  python -m data_pipelines.prepare hme100k --manual_dir=DIR
  python -m mmjax.main --config=configs/hme100k/dense_attention.py --workdir=W

Photographs are brought to a height of at most 120 pixels, and texts of up to 100 tokens are
learnt. Needs an accelerator.
"""

from configs.crohme import dense_attention


def get_config():
  c = dense_attention.get_config()
  c.data.name = "hme100k"
  c.data.high = (120, 1600)
  c.data.max_area = 4_000_000  # of the photograph as stored
  c.data.max_tokens = 100
  c.decode.max_length = 100
  c.train.epochs = 60
  return c
