"""The parity command on recorded outputs of the reference network, and on what is none."""

import numpy as np
import pytest

from mmjax.convert import parity


@pytest.fixture(scope="module")
def golden(shared):
  return shared / "golden" / "bttr_small.npz"


def command(capsys, *args):
  """Exit status, verdict of each output, and the error message."""
  status = parity.main([str(a) for a in args])
  said = capsys.readouterr()
  lines = [line.split() for line in said.out.splitlines()[1:]]
  return status, {line[0]: line[-1] for line in lines}, said.err


OUTPUTS = {
    "bttr": (
        "bttr_small",
        "encoder_feature encoder_mask logits loss beam0_seq beam0_score beam1_seq beam1_score",
    ),
    "comer": (
        "comer_small",
        "encoder_feature encoder_mask logits loss best0_seq best0_score best1_seq best1_score",
    ),
    "can": (
        "can_small",
        "encoder counts word_logits word_loss counting_loss greedy_logits greedy_alphas",
    ),
    "clip_reward": (
        "clip_reward_transformer_small",
        "log_probs greedy_seq greedy_log_probs reinforce_loss beam_seq beam_score",
    ),
    "wap_densenet_attention": ("wap_densenet_attention", "log_probs alphas"),
    "san": (
        "san_small",
        "encoder word_logits struct_logits parent_logits word_alphas parent_alphas"
        " word_loss struct_loss parent_loss kl_loss",
    ),
    "show_attend_tell": (
        "sat_decoder_small",
        "logits alphas beam0_seq beam0_score beam1_seq beam1_score beam2_seq beam2_score",
    ),
    "caption_transformer": ("transformer_captioner_small", "logits"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_reference_outputs_agree(shared, capsys, kind):
  """All that the file records: none may be passed over."""
  file, names = OUTPUTS[kind]
  path = shared / "golden" / f"{file}.npz"
  status, verdicts, error = command(capsys, f"--kind={kind}", path)
  assert status == 0 and error == ""
  assert list(verdicts) == names.split()
  assert {f"out/{name}" for name in verdicts} == {
      k for k in np.load(path).files if k.startswith("out/")
  }
  assert set(verdicts.values()) == {"agrees"}


def test_changed_outputs_differ(golden, capsys, tmp_path):
  arrays = dict(np.load(golden))
  arrays["out/logits"][0, 3, 5] += 2e-4
  arrays["out/beam1_seq"][0, 2] += 1
  arrays["out/beam0_score"][0] += 2e-3
  arrays["out/loss"] = arrays["out/loss"] + np.float32(np.nan)
  np.savez(tmp_path / "changed.npz", **arrays)
  status, verdicts, _ = command(capsys, "--kind=bttr", tmp_path / "changed.npz")
  assert status == 1
  differ = {name for name, verdict in verdicts.items() if verdict == "DIFFERS"}
  assert differ == {"logits", "beam1_seq", "beam0_score", "loss"}


def test_compare():
  x = np.array([1.0, 2.0], np.float32)
  assert parity.compare("x", x + 5e-5, x).agrees
  assert not parity.compare("x", x + 5e-4, x).agrees
  assert not parity.compare("x", x * np.nan, x).agrees
  assert parity.compare("x", x + 5e-4, x, 1e-3).difference == pytest.approx(5e-4, rel=1e-2)
  assert not parity.compare("ids", np.array([1, 2]), np.array([1, 3])).agrees
  assert parity.compare("mask", np.array([True]), np.array([True])).agrees
  other = parity.compare("x", x[:1], x)
  assert not other.agrees and other.name == "x (ours (1,))"


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 cut short"])
def test_garbage_is_refused(capsys, tmp_path, content):
  path = tmp_path / "garbage.npz"
  path.write_bytes(content)
  status, verdicts, error = command(capsys, "--kind=bttr", path)
  assert status == 1 and verdicts == {} and error.startswith(f"error: {path}: ")


def test_a_missing_file_is_refused(capsys, tmp_path):
  status, _, error = command(capsys, "--kind=bttr", tmp_path / "none.npz")
  assert status == 1 and "none.npz: no such file" in error


def test_a_file_without_records_is_refused(capsys, tmp_path):
  np.savez(tmp_path / "a.npz", weight=np.zeros(3))
  status, _, error = command(capsys, "--kind=bttr", tmp_path / "a.npz")
  assert status == 1 and "has no hparams: not a file of recorded outputs" in error
  np.savez(tmp_path / "b.npz", hparams=np.array("{nothing"))
  status, _, error = command(capsys, "--kind=bttr", tmp_path / "b.npz")
  assert status == 1 and "hparams is not JSON" in error


def test_a_file_that_lacks_an_output_is_refused(golden, capsys, tmp_path):
  arrays = dict(np.load(golden))
  del arrays["in/img"]
  np.savez(tmp_path / "lacks.npz", **arrays)
  status, _, error = command(capsys, "--kind=bttr", tmp_path / "lacks.npz")
  assert status == 1 and "lacks 'in/img'" in error


@pytest.mark.parametrize("other", ["comer_small", "can_small", "san_small", "git_caption"])
def test_another_network_is_refused(shared, capsys, other):
  status, verdicts, error = command(capsys, "--kind=bttr", shared / "golden" / f"{other}.npz")
  assert status == 1 and verdicts == {}
  assert "weight encoder.feature_proj.0.weight is missing" in error or "lacks 'nhead'" in error


def test_an_unknown_kind_is_refused(golden, capsys):
  status, _, error = command(capsys, "--kind=unknown", golden)
  assert status == 1 and "no converter for the model 'unknown'" in error
