r"""A model of the Hugging Face hub: its folder tells architecture, tokenizer and preprocessing.

  python -m mmjax.main --mode=predict --config=configs/hub.py --workdir=$WORKDIR \
    --config.init_from=FOLDER --input=PICTURES
  python -m mmjax.main --config=configs/hub.py:crohme --workdir=$WORKDIR --config.init_from=FOLDER

The first line needs no data set. The second one fine-tunes on the formulas or, as in
hub.py:flickr8k, the captions of a data set; from then on the workdir describes the model itself.
The folder also says how pictures get their size: config.data.resize, canvas, low, high, scale and
align do nothing.
"""

from ml_collections import ConfigDict

from configs import base
from data_pipelines import datasets


def get_config(data: str = ""):
  c = base.get_config()
  c.task = "hub"

  c.model.name = "hub"
  c.model.unpickle = False  # read pytorch_model.bin where there is no model.safetensors

  c.data.name = data
  c.data.batch = 16
  c.data.max_buckets = 1
  c.data.max_area = 50_000_000  # every picture is brought to the model's size
  c.data.max_tokens = 200  # of the model's own

  c.optim.lr = 5e-5
  c.optim.warmup_steps = 500
  c.optim.weight_decay = 0.01
  c.optim.clip = 1.0
  c.train.epochs = 10

  c.decode = ConfigDict()  # of the folder's generation settings these can be changed
  c.decode.beam = 0  # hypotheses; 0: as the folder says, and its length penalty
  c.decode.max_length = 0  # tokens; 0: as the folder says
  c.decode.length_penalty = 1.0  # with a beam of its own
  c.evaluate.every_epochs = 1
  if data and datasets.find(data).kind == "captions":
    c.task = "hub_captioning"
    c.data.texts = "one"
    c.data.max_tokens = 48
    c.evaluate.metrics = ("bleu", "meteor", "rouge_l", "cider")
    c.evaluate.metric = "cider"
  return c
