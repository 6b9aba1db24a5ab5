r"""A small DenseNet-WAP on half-size CROHME pictures, for a CPU.

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/wap_small.py --workdir=W
"""

from configs.crohme import bttr_small, wap


def get_config():
  c = wap.get_config()
  c.model.hidden = 160
  c.model.embedding = 160
  c.model.attention = 128
  c.model.coverage_channels = 64
  c.model.growth = 16
  c.model.encoder_layers = (4, 10)  # stride 8 of half-size pictures: the published 16
  c.model.encoder_dropout = 0.1
  small = bttr_small.get_config()
  c.data = small.data
  c.optim = small.optim
  c.train = small.train
  c.decode.max_length = small.decode.max_length
  c.evaluate.every_epochs = small.evaluate.every_epochs
  return c
