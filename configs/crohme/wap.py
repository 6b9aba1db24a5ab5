r"""DenseNet-WAP on CROHME, near the published recipe (Zhang et al., ICPR 2018).

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/wap.py --workdir=W

Adadelta, batch 8, beam 10. Ours differs in four points: the learning rate falls on plateaus where
the paper starts again with noise on the weights, batches come from size buckets, features are
masked so that a picture's answer does not depend on its canvas, and decay takes in the batch norms.
Needs an accelerator.
"""

from configs import base


def get_config():
  c = base.get_config()
  c.task = "recognition"
  c.model.name = "wap"
  c.model.encoder_name = "densenet"
  c.model.hidden = 256
  c.model.embedding = 256
  c.model.attention = 512
  c.model.coverage_channels = 512
  c.model.kernel = 11
  c.model.dropout = 0.2
  c.model.growth = 24
  c.model.encoder_layers = (16, 16, 16)
  c.model.encoder_dropout = 0.2
  c.model.mask_features = True
  c.model.remat = False
  c.model.dtype = "float32"
  c.data.batch = 8
  c.data.high = (1024, 2560)  # nothing is resized: only the area is limited
  c.data.max_area = 500_000
  c.optim.name = "adadelta"
  c.optim.lr = 1.0
  c.optim.schedule = "constant"
  c.optim.rho = 0.95
  c.optim.eps = 1e-8
  c.optim.weight_decay = 1e-4
  c.optim.clip = 100.0
  c.optim.plateau_factor = 0.1
  c.optim.plateau_patience = 15
  c.train.epochs = 300
  return c
