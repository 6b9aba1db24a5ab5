r"""DenseNet attention recognizer on CROHME, near the published recipe (H. Wang, PyTorch).

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/dense_attention.py --workdir=W

6.8 million parameters; SGD with momentum, batch 6, 200 epochs, greedy. Ours differs in four points:
the first state is zero instead of random, batches come from size buckets, features are masked so
that a picture's answer does not depend on its canvas, and the loss is a mean over words, where the
published one is a sum over the words of a text: the rate is 16 times the published 1e-4, as a text
has 16 words on average. Needs an accelerator.
"""

from configs import base


def get_config():
  c = base.get_config()
  c.task = "recognition"
  c.model.name = "dense_attention"
  c.model.hidden = 256
  c.model.dropout = 0.5
  c.model.growth = 32
  c.model.encoder_layers = (6, 12, 24)
  c.model.mask_features = True
  c.model.remat = False
  c.model.dtype = "float32"
  c.data.batch = 6
  c.data.high = (1024, 2560)  # nothing is resized: only the area is limited
  c.data.max_area = 100_000
  c.data.max_tokens = 48
  c.optim.name = "sgd"
  c.optim.lr = 1.6e-3
  c.optim.momentum = 0.9
  c.optim.schedule = "constant"
  c.optim.weight_decay = 0.0
  c.optim.plateau_factor = 0.1
  c.optim.plateau_patience = 10
  c.train.epochs = 200
  c.decode.beam = 1
  c.decode.max_length = 48
  c.decode.length_penalty = 0.0
  return c
