r"""A small DenseNet attention recognizer on half-size CROHME pictures, for a CPU.

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/dense_attention_small.py --workdir=W
"""

from configs.crohme import bttr_small, dense_attention


def get_config():
  c = dense_attention.get_config()
  c.model.hidden = 144
  c.model.dropout = 0.2
  c.model.growth = 16
  c.model.encoder_layers = (4, 10)  # stride 8 of half-size pictures: the published 16
  small = bttr_small.get_config()
  c.data = small.data
  c.optim = small.optim
  c.train = small.train
  c.decode.max_length = small.decode.max_length
  c.evaluate.every_epochs = small.evaluate.every_epochs
  return c
