r"""CAN on HME100K, near the published recipe (Li et al., ECCV 2022).

  python -m data_pipelines.prepare hme100k --manual_dir=DIR
  python -m mmjax.main --config=configs/hme100k/can.py --workdir=W

As its authors say of their run on HME100K, photographs are brought to a height of 120 pixels (here
at most, so small ones stay small) and the weight decay is 2e-5; how many epochs they ran is not
known here, 60 are ours. Needs an accelerator.
"""

from configs.crohme import can


def get_config():
  c = can.get_config()
  c.data.name = "hme100k"
  c.data.high = (120, 1600)
  c.data.max_area = 4_000_000  # of the photograph as stored
  c.optim.weight_decay = 2e-5
  c.train.epochs = 60
  return c
