r"""BTTR on CROHME with the published recipe (Zhao et al., ICDAR 2021).

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/bttr.py --workdir=W

6,375,425 parameters; Adadelta, batch 32, 300 epochs, learning rate lowered on plateaus of the
validation ExpRate. Ours differs in three points: the validation split is held out from train (the
paper selects on test 2014), batches come from size buckets, and features are masked so that a
picture's answer does not depend on its canvas. Needs an accelerator.
"""

from configs import base


def get_config():
  c = base.get_config()
  c.model.width = 256
  c.model.heads = 8
  c.model.layers = 3
  c.model.hidden = 1024
  c.model.dropout = 0.3
  c.model.growth = 24
  c.model.encoder_layers = (16, 16, 16)
  c.model.encoder_dropout = 0.2
  c.model.mask_features = True
  c.model.remat = False
  c.model.dtype = "float32"
  c.data.batch = 32
  c.data.high = (1024, 2560)  # nothing is resized: only the area is limited
  c.optim.name = "adadelta"
  c.optim.lr = 1.0
  c.optim.schedule = "constant"
  c.optim.eps = 1e-6
  c.optim.weight_decay = 1e-4
  c.optim.plateau_factor = 0.1
  c.optim.plateau_patience = 10
  c.train.epochs = 300
  return c
