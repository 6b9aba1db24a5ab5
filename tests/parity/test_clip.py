"""CLIP's towers on recorded outputs of the reference network."""

import numpy as np
import pytest

from mmjax.convert import parity

OUTPUTS = ["vision_grid", "image_features", "text_features", "logits_per_image"]


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_reference_outputs_agree(shared, kind, tmp_path, capsys):
  golden = shared / "golden" / f"clip_{kind}_small.npz"
  checks = parity.run("clip", golden)
  assert [c.name for c in checks] == OUTPUTS and all(c.agrees for c in checks)
  assert max(c.difference for c in checks) < 1e-5
  arrays = dict(np.load(golden))
  arrays["out/text_features"][1, 3] += 2e-4
  np.savez(tmp_path / "changed.npz", **arrays)
  assert parity.main(["--kind=clip", str(tmp_path / "changed.npz")]) == 1
  lines = capsys.readouterr().out.splitlines()
  assert [line.split()[0] for line in lines if line.endswith("DIFFERS")] == ["text_features"]


def test_another_network_is_refused(shared, capsys):
  assert parity.main(["--kind=clip", str(shared / "golden" / "git_caption.npz")]) == 1
  assert "no weight is named token_embedding.weight" in capsys.readouterr().err
