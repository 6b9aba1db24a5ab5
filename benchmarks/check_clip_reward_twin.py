"""Proves that the PyTorch twin of the CLIP-reward captioner computes what the reference does.

  python -m benchmarks.check_clip_reward_twin --golden=clip_reward_transformer_small.npz

And that the gradient through its drawing is that of ours, through the captions it drew.
"""

import argparse
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.torch_clip_reward import Captioner, reinforce
from mmjax import losses
from mmjax.convert import clip_reward_captioner as converter
from mmjax.models.clip_reward_captioner import ClipRewardCaptioner
from mmjax.text.vocabulary import EOS, PAD, SOS

TOLERANCE = 1e-4


def main() -> int:
  """Prints a line per output; returns 1 if any of them is off."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--golden", required=True, help="npz with state, inputs and outputs")
  golden = np.load(parser.parse_args().golden)
  sizes = json.loads(str(golden["hparams"]))
  model = make(sizes, golden["in/att_feats"].shape[-1]).eval()
  state = {k.removeprefix("state/"): golden[k] for k in golden if k.startswith("state/")}
  model.load_state_dict({k: torch.as_tensor(v) for k, v in state.items()})
  features = torch.as_tensor(golden["in/att_feats"])
  cells = torch.as_tensor(golden["in/att_masks"])[:, None] > 0
  tokens = torch.as_tensor(golden["in/seq"])
  real = tokens != 0
  real[:, 0] = True
  seen = real[:, None] & torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
  found = {}
  with torch.inference_mode():
    memory = model.encode(features, cells)
    found["log_probs"] = model.log_probs(model.decode(tokens, memory, cells, seen))
    captions, of_all = model.sample(features, cells, sizes["max_length"], greedy=True)
    chosen = of_all.gather(2, captions[..., None])[..., 0]
    found["greedy_seq"], found["greedy_log_probs"] = captions, chosen
    rewards = torch.as_tensor(golden["in/reward"])
    found["reinforce_loss"] = reinforce(chosen, captions, rewards)
  good = True
  for name, value in found.items():
    difference = float(np.abs(value.numpy() - golden[f"out/{name}"]).max())
    good &= difference <= TOLERANCE
    print(f"{name:16} {difference:.2e}")
  difference = gradients_apart(model, state, sizes, features)
  good &= difference <= TOLERANCE
  print(f"{'gradient':16} {difference:.2e}")
  print("agrees" if good else "DOES NOT AGREE")
  return 0 if good else 1


def make(sizes: dict, channels: int) -> Captioner:
  return Captioner(
      sizes["vocab_size"], channels, sizes["d_model"], sizes["heads"], sizes["N_enc"],
      sizes["d_ff"], dropout=0.1, feature_dropout=0.5,
  )  # fmt: skip


def gradients_apart(model: Captioner, state: dict, sizes: dict, features) -> float:
  """Largest difference of the twin's gradient, through five drawn captions, and ours."""
  torch.manual_seed(0)
  cells = torch.ones(len(features), 1, features.shape[1], dtype=torch.bool)
  captions, of_all = model.sample(features, cells, sizes["max_length"], 5)
  advantages = torch.linspace(-1, 1, len(captions))
  reinforce(of_all.gather(2, captions[..., None])[..., 0], captions, advantages).backward()
  theirs = {k: v.grad.numpy() for k, v in model.named_parameters()}

  ours = ClipRewardCaptioner(
      vocabulary_size=sizes["vocab_size"] + 1 + EOS, width=sizes["d_model"],
      heads=sizes["heads"], layers=sizes["N_enc"], hidden=sizes["d_ff"],
  )  # fmt: skip
  tokens = jnp.asarray(converter.as_ours(captions.numpy())).reshape(len(features), 5, -1)
  tokens_in = jnp.pad(tokens[..., :-1], [(0, 0), (0, 0), (1, 0)], constant_values=SOS)

  def loss(params):
    read = lambda m: m.decode(tokens_in, m.encode_features(jnp.asarray(features)[:, None]))
    log_probs = jax.nn.log_softmax(ours.apply({"params": params}, method=read))
    chosen = jnp.take_along_axis(log_probs, tokens[..., None], -1)[..., 0]
    weights = jnp.asarray(advantages).reshape(tokens.shape[:2])
    total, words = losses.policy_gradient(chosen, weights, tokens != PAD)
    return total / words

  grads = jax.jit(jax.grad(loss))(converter.convert(state, heads=sizes["heads"])["params"])
  expected = converter.convert(theirs, heads=sizes["heads"])["params"]
  # The reference's one number for start, end and padding is three of ours.
  for tree in (grads, expected):
    words = tree["word_embed"]["embedding"]
    tree["word_embed"] = jnp.concatenate([words[SOS:EOS], words[EOS + 1 :]])
    tree["word_proj"] = jax.tree.map(lambda x: x[..., EOS:], tree["word_proj"])
  differences = jax.tree.map(lambda x, y: float(jnp.abs(x - y).max()), grads, expected)
  return max(jax.tree.leaves(differences))


if __name__ == "__main__":
  sys.exit(main())
