r"""SAN on CROHME, near the published recipe (Yuan et al., CVPR 2022).

  python -m data_pipelines.prepare crohme --manual_dir=DIR
  python -m mmjax.main --config=configs/crohme/san.py --workdir=W

7,601,351 parameters with the paper's 115 words; Adadelta, batch 8, 200 epochs, one epoch of warm-up
and a cosine. Ours differs in four points: the validation split is held out from train (the paper
selects on test 2014), batches come from size buckets, features are masked so that a picture's
answer does not depend on its canvas, and nodes of padding have no loss. Trees know no `\limits`:
compare `normalised_exprate`, which leaves it out. Needs an accelerator.
"""

from configs.crohme import can


def get_config():
  c = can.get_config()
  c.task = "syntax_tree"
  c.model.name = "san"
  del c.model.counting
  c.train.epochs = 200
  c.evaluate.metric = "normalised_exprate"
  return c
