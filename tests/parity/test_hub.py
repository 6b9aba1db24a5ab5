"""Models of the Hugging Face hub on recorded outputs of the transformers package."""

import numpy as np
import pytest

from mmjax.convert import parity

SEARCHES = "greedy beam beam_score"
FILES = {
    "ved_vit_gpt2": ("vision_encoder_decoder", f"encoder_last_hidden_state logits {SEARCHES}"),
    "ved_vit_trocr": ("vision_encoder_decoder", f"encoder_last_hidden_state logits {SEARCHES}"),
    "ved_donut_mbart": ("vision_encoder_decoder", f"encoder_last_hidden_state logits {SEARCHES}"),
    "blip_caption": ("blip", "logits greedy"),
    "git_caption": ("git", "logits greedy"),
}


@pytest.mark.parametrize("file", FILES)
def test_reference_outputs_agree(shared, file):
  """All that the file records: none may be passed over."""
  kind, names = FILES[file]
  path = shared / "golden" / f"{file}.npz"
  checks = parity.run(kind, path)
  assert all(c.agrees for c in checks), parity.table(checks)
  assert [c.name for c in checks] == names.split()
  assert {f"out/{c.name}" for c in checks} == {k for k in np.load(path) if k.startswith("out/")}


def test_another_network_is_refused(shared, capsys):
  path = shared / "golden" / "git_caption.npz"
  assert parity.main(["--kind=vision_encoder_decoder", str(path)]) == 1
  assert "git_caption.npz is not a file of kind 'vision_encoder_decoder'" in capsys.readouterr().err
