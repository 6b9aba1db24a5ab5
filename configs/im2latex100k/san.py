r"""SAN on printed formulas, with the recipe of CROHME (Yuan et al., CVPR 2022).

  python -m data_pipelines.prepare im2latex100k --manual_dir=DIR
  python -m mmjax.main --config=configs/im2latex100k/san.py --workdir=W

Formulas of up to 150 tokens are learnt, as in im2markup's training. Arrays, and braces that show
(`{ \cal L }`), are no trees: a fifth of the formulas is left out of training and counts as wrong
(`python -m mmjax.text.san_coverage`). Needs an accelerator.
"""

from configs.crohme import san


def get_config():
  c = san.get_config()
  c.data.name = "im2latex100k"
  c.data.high = (192, 832)  # of pictures up to 800 x 800, most of them 50 x 320
  c.data.max_area = 160_000
  c.data.max_tokens = 150
  c.decode.max_length = 150
  c.train.epochs = 40
  return c
