r"""CAN on CROHME, near the published recipe (Li et al., ECCV 2022: CAN-DWAP).

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/can.py --workdir=W

16,838,280 parameters with the paper's 111 words; Adadelta, batch 8, 240 epochs, one epoch of
warm-up and a cosine. Ours differs in five points: the validation split is held out from train (the
paper selects on test 2014), batches come from size buckets, features are masked so that a picture's
answer does not depend on its canvas, words of padding have no loss, and the cosine ends at epoch
240 instead of starting again at 200. Needs an accelerator.
"""

from configs import base


def get_config():
  c = base.get_config()
  c.task = "recognition"
  c.model.name = "can"
  c.model.hidden = 256
  c.model.embedding = 256
  c.model.attention = 512
  c.model.coverage_channels = 512
  c.model.counting = 512
  c.model.dropout = 0.5
  c.model.growth = 24
  c.model.encoder_layers = (16, 16, 16)
  c.model.encoder_dropout = 0.2
  c.model.mask_features = True
  c.model.remat = False
  c.model.dtype = "float32"
  c.data.batch = 8
  c.data.high = (1024, 2560)  # nothing is resized: only the area is limited
  c.data.max_area = 512_000  # 1600 x 320
  c.optim.name = "adadelta"
  c.optim.lr = 1.0
  c.optim.schedule = "warmup_cosine"
  c.optim.warmup_steps = 1_000  # an epoch
  c.optim.eps = 1e-6
  c.optim.weight_decay = 1e-4
  c.optim.clip = 100.0
  c.train.epochs = 240
  c.decode.beam = 1
  c.decode.length_penalty = 0.0
  return c
