r"""CoMER on CROHME with the published recipe (Zhao and Gao, ECCV 2022).

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/comer.py --workdir=W

6,389,041 parameters; SGD with momentum, 32 pictures a step scaled by 0.7 to 1.4, 300 epochs,
learning rate lowered on plateaus of the validation ExpRate. Ours differs in three points: the
validation split is held out from train (the paper selects on test 2014), batches come from size
buckets, and features are masked so that a picture's answer does not depend on its canvas. Needs an
accelerator.
"""

from configs.crohme import bttr


def get_config():
  c = bttr.get_config()
  c.model.name = "comer"
  c.model.coverage = ("self", "cross")
  c.model.coverage_channels = 32
  c.data.low = (16, 16)
  c.data.high = (256, 1024)
  c.data.scale_range = (0.7, 1.4)
  c.optim.name = "sgd"
  c.optim.lr = 0.08
  c.optim.momentum = 0.9
  c.optim.plateau_factor = 0.25
  c.decode.normalise = "each"
  c.evaluate.batch = 4  # rescoring holds a map of every word of every hypothesis
  return c
