"""Text decoders of the hub: configurations -> modules, and the names of their weights.

Configurations leave out what has the default value, so that every family's defaults stand here.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mmjax.convert import rules
from mmjax.convert.rules import SAME, Rule
from mmjax.modules.activation import activation
from mmjax.modules.t5 import T5Decoder
from mmjax.modules.text_decoder import TextDecoder

Config = Mapping[str, Any]

_GPT2 = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "resid_pdrop": 0.1,
    "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}
_BERT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
}
_ROBERTA = _BERT | {"vocab_size": 50265, "pad_token_id": 1}
_XLM_ROBERTA = _ROBERTA | {"vocab_size": 30522}
_BLIP = _BERT | {
    "vocab_size": 30524,
    "num_attention_heads": 8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_GIT = _BERT | {
    "num_hidden_layers": 6,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
}
_BART = {
    "vocab_size": 50265,
    "max_position_embeddings": 1024,
    "decoder_layers": 12,
    "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16,
    "d_model": 1024,
    "activation_function": "gelu",
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "scale_embedding": False,
    "pad_token_id": 1,
    "tie_word_embeddings": True,
}
_TROCR = _BART | {
    "max_position_embeddings": 512,
    "layernorm_embedding": True,
    "use_learned_position_embeddings": True,
}
_PIX2STRUCT = {
    "vocab_size": 50244,
    "hidden_size": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_heads": 12,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6,
    "dense_act_fn": "gelu_new",
    "tie_word_embeddings": False,
}
_PIX2STRUCT_PLACES = 4096  # distances have no end; texts of a data set want one
_BART_OFFSET = 2  # rows of its table of positions that no word takes


def _gpt2(c: Config) -> TextDecoder:
  activation(c["activation_function"])
  for name in ("scale_attn_weights", "scale_attn_by_inverse_layer_idx"):
    if c[name] != _GPT2[name]:
      raise ValueError(f"decoder gpt2 with {name}={c[name]} is not known; known: {_GPT2[name]}")
  return TextDecoder(
      vocabulary_size=c["vocab_size"],
      width=c["n_embd"],
      layers=c["n_layer"],
      heads=c["n_head"],
      hidden=c["n_inner"] or 4 * c["n_embd"],
      places=c["n_positions"],
      activation=c["activation_function"],
      norm_first=True,
      epsilon=c["layer_norm_epsilon"],
      norm_in=False,
      norm_out=True,
      tied=c["tie_word_embeddings"],
      dropout=c["resid_pdrop"],
      attention_dropout=c["attn_pdrop"],
  )


def _bert(c: Config) -> TextDecoder:
  kind = c["model_type"]
  activation(c["hidden_act"])
  if c.get("position_embedding_type", "absolute") != "absolute":
    raise ValueError(
        f"decoder {kind} with position_embedding_type={c['position_embedding_type']!r} is not"
        " known; known: 'absolute'"
    )
  shifted = kind in ("roberta", "xlm-roberta")
  offset = c["pad_token_id"] + 1 if shifted else 0
  head = {"blip_text_model": c["hidden_act"], "bert": c["hidden_act"], "git": None}
  return TextDecoder(
      vocabulary_size=c["vocab_size"],
      width=c["hidden_size"],
      layers=c["num_hidden_layers"],
      heads=c["num_attention_heads"],
      hidden=c["intermediate_size"],
      places=c["max_position_embeddings"] - offset,
      activation=c["hidden_act"],
      epsilon=c["layer_norm_eps"],
      offset=offset,
      skips_padding=shifted,
      padding=c["pad_token_id"],
      kinds=0 if kind in ("blip_text_model", "git") else c["type_vocab_size"],
      cross=kind != "git",
      tied=c["tie_word_embeddings"],
      transform=head.get(kind, "gelu"),
      logit_bias=True,
      dropout=c["hidden_dropout_prob"],
      attention_dropout=c["attention_probs_dropout_prob"],
  )


def _bart(c: Config) -> TextDecoder:
  kind = c["model_type"]
  activation(c["activation_function"])
  learned = c.get("use_learned_position_embeddings", True)
  padding = c["pad_token_id"]
  return TextDecoder(
      vocabulary_size=c["vocab_size"],
      width=c["d_model"],
      layers=c["decoder_layers"],
      heads=c["decoder_attention_heads"],
      hidden=c["decoder_ffn_dim"],
      places=c["max_position_embeddings"],
      activation=c["activation_function"],
      norm_first=kind == "mbart",
      offset=_BART_OFFSET if learned else padding + 1,
      position="learned" if learned else "sinusoid",
      skips_padding=not learned,
      padding=padding,
      embedding_scale=math.sqrt(c["d_model"]) if c["scale_embedding"] else 1.0,
      norm_in=c.get("layernorm_embedding", True),
      norm_out=kind == "mbart",
      tied=c["tie_word_embeddings"],
      dropout=c["dropout"],
      attention_dropout=c["attention_dropout"],
      hidden_dropout=c["activation_dropout"],
  )


def _pix2struct(c: Config) -> T5Decoder:
  activation(c["dense_act_fn"])
  if c["num_heads"] * c["d_kv"] != c["hidden_size"]:
    raise ValueError(
        f"decoder pix2struct with {c['num_heads']} heads of d_kv={c['d_kv']} channels is not"
        f" known; known: together hidden_size={c['hidden_size']}"
    )
  return T5Decoder(
      vocabulary_size=c["vocab_size"],
      width=c["hidden_size"],
      layers=c["num_layers"],
      heads=c["num_heads"],
      hidden=c["d_ff"],
      places=_PIX2STRUCT_PLACES,
      activation=c["dense_act_fn"],
      epsilon=c["layer_norm_epsilon"],
      buckets=c["relative_attention_num_buckets"],
      farthest=c["relative_attention_max_distance"],
      tied=c["tie_word_embeddings"],
      dropout=c["dropout_rate"],
      attention_dropout=c["dropout_rate"],
      hidden_dropout=c["dropout_rate"],
  )


class Names(NamedTuple):
  """A decoder's weights, and the names under which a folder may repeat some of them."""

  rules: list[Rule]
  copies: dict[str, str]


def _gpt2_names(decoder: TextDecoder, name: str, path: str) -> Names:
  body, words = f"{name}.transformer", f"{name}.transformer.wte"
  found = [
      *rules.embedding(words, f"{path}/words"),
      *rules.embedding(f"{body}.wpe", f"{path}/position_embed"),
      *rules.layer_norm(f"{body}.ln_f", f"{path}/norm_after"),
  ]
  for i in range(decoder.layers):
    old, new = f"{body}.h.{i}", f"{path}/blocks_{i}"
    own = [(part, f"{old}.attn.c_attn", n, 3) for n, part in enumerate(("query", "key", "value"))]
    across = [
        ("query", f"{old}.crossattention.q_attn", 0, 1),
        ("key", f"{old}.crossattention.c_attn", 0, 2),
        ("value", f"{old}.crossattention.c_attn", 1, 2),
    ]
    for parts, theirs, ours in (
        (own, "attn", "self_attention"),
        (across, "crossattention", "cross_attention"),
    ):
      out = f"{old}.{theirs}.c_proj"
      found += rules.projections(parts, f"{new}/{ours}", decoder.heads, stored=SAME)
      found += rules.attention_out(out, f"{new}/{ours}", decoder.heads, stored=SAME)
    for theirs, ours in (("ln_1", "norm1"), ("ln_cross_attn", "norm2"), ("ln_2", "norm3")):
      found += rules.layer_norm(f"{old}.{theirs}", f"{new}/{ours}")
    found += rules.linear(f"{old}.mlp.c_fc", f"{new}/linear1", stored=SAME)
    found += rules.linear(f"{old}.mlp.c_proj", f"{new}/linear2", stored=SAME)
  return _with_head(decoder, Names(found, {}), f"{name}.lm_head.weight", f"{words}.weight", path)


def _bart_names(decoder: TextDecoder, name: str, path: str) -> Names:
  body, words = f"{name}.model.decoder", f"{name}.model.decoder.embed_tokens"
  found = rules.embedding(words, f"{path}/words")
  if decoder.position == "learned":
    found += rules.embedding(f"{body}.embed_positions", f"{path}/position_embed")
  if decoder.norm_in:
    found += rules.layer_norm(f"{body}.layernorm_embedding", f"{path}/norm_before")
  if decoder.norm_out:
    found += rules.layer_norm(f"{body}.layer_norm", f"{path}/norm_after")
  for i in range(decoder.layers):
    old, new = f"{body}.layers.{i}", f"{path}/blocks_{i}"
    for theirs, ours, norm in (
        ("self_attn", "self_attention", "norm1"),
        ("encoder_attn", "cross_attention", "norm2"),
    ):
      q, k, v, out = (f"{old}.{theirs}.{part}_proj" for part in ("q", "k", "v", "out"))
      found += rules.attention((q, k, v, out), f"{new}/{ours}", decoder.heads)
      found += rules.layer_norm(f"{old}.{theirs}_layer_norm", f"{new}/{norm}")
    found += rules.layer_norm(f"{old}.final_layer_norm", f"{new}/norm3")
    found += rules.linear(f"{old}.fc1", f"{new}/linear1")
    found += rules.linear(f"{old}.fc2", f"{new}/linear2")
  head = f"{name}.lm_head.weight"
  return _with_head(decoder, Names(found, {}), head, f"{words}.weight", path)


def _trocr_names(decoder: TextDecoder, name: str, path: str) -> Names:
  found = _bart_names(decoder, name, path)
  rename = lambda n: n.replace(f"{name}.lm_head.", f"{name}.output_projection.")
  table = [rule._replace(name=rename(rule.name)) for rule in found.rules]
  return Names(table, {rename(copy): of for copy, of in found.copies.items()})


def _bert_layers(decoder: TextDecoder, name: str, path: str) -> list[Rule]:
  found = []
  for i in range(decoder.layers):
    old, new = f"{name}.encoder.layer.{i}", f"{path}/blocks_{i}"
    attentions = [("attention", "self_attention", "norm1")]
    if decoder.cross:
      attentions += [("crossattention", "cross_attention", "norm2")]
    for theirs, ours, norm in attentions:
      q, k, v = (f"{old}.{theirs}.self.{part}" for part in ("query", "key", "value"))
      names = (q, k, v, f"{old}.{theirs}.output.dense")
      found += rules.attention(names, f"{new}/{ours}", decoder.heads)
      found += rules.layer_norm(f"{old}.{theirs}.output.LayerNorm", f"{new}/{norm}")
    found += rules.linear(f"{old}.intermediate.dense", f"{new}/linear1")
    found += rules.linear(f"{old}.output.dense", f"{new}/linear2")
    found += rules.layer_norm(f"{old}.output.LayerNorm", f"{new}/norm3")
  return found


def _bert_embeddings(decoder: TextDecoder, name: str, path: str) -> list[Rule]:
  found = rules.embedding(f"{name}.word_embeddings", f"{path}/words")
  found += rules.embedding(f"{name}.position_embeddings", f"{path}/position_embed")
  if decoder.kinds:
    found += rules.embedding(f"{name}.token_type_embeddings", f"{path}/kind_embed")
  return found + rules.layer_norm(f"{name}.LayerNorm", f"{path}/norm_before")


def _bert_names(decoder: TextDecoder, name: str, path: str) -> Names:
  body, head = f"{name}.bert", f"{name}.cls.predictions"
  found = [
      *_bert_embeddings(decoder, f"{body}.embeddings", path),
      *_bert_layers(decoder, body, path),
      *rules.linear(f"{head}.transform.dense", f"{path}/transform_linear"),
      *rules.layer_norm(f"{head}.transform.LayerNorm", f"{path}/transform_norm"),
  ]
  words = f"{body}.embeddings.word_embeddings.weight"
  return _with_biased_head(decoder, found, head, words, path)


def _roberta_names(decoder: TextDecoder, name: str, path: str) -> Names:
  body, head = f"{name}.roberta", f"{name}.lm_head"
  found = [
      *_bert_embeddings(decoder, f"{body}.embeddings", path),
      *_bert_layers(decoder, body, path),
      *rules.linear(f"{head}.dense", f"{path}/transform_linear"),
      *rules.layer_norm(f"{head}.layer_norm", f"{path}/transform_norm"),
  ]
  words = f"{body}.embeddings.word_embeddings.weight"
  return _with_biased_head(decoder, found, head, words, path)


def _git_names(decoder: TextDecoder, name: str, path: str) -> Names:
  del name  # the decoder's weights stand at the top
  found = [
      *_bert_embeddings(decoder, "git.embeddings", path),
      *_bert_layers(decoder, "git", path),
      Rule("output.bias", f"{path}/word_bias"),
  ]
  words = "git.embeddings.word_embeddings.weight"
  return _with_head(decoder, Names(found, {}), "output.weight", words, path)


def _pix2struct_names(decoder: TextDecoder, name: str, path: str) -> Names:
  words = f"{name}.embed_tokens"
  distances = f"{name}.layer.0.self_attention.attention.relative_attention_bias.weight"
  found = [
      *rules.embedding(words, f"{path}/words"),
      Rule(distances, f"{path}/distance_table"),
      Rule(f"{name}.final_layer_norm.weight", f"{path}/norm_after/scale"),
  ]
  for i in range(decoder.layers):
    old, new = f"{name}.layer.{i}", f"{path}/blocks_{i}"
    for theirs, ours, norm in (
        ("self_attention", "self_attention", "norm1"),
        ("encoder_decoder_attention", "cross_attention", "norm2"),
    ):
      found += rules.t5_attention(f"{old}.{theirs}.attention", f"{new}/{ours}", decoder.heads)
      found += [Rule(f"{old}.{theirs}.layer_norm.weight", f"{new}/{norm}/scale")]
    found += rules.t5_feed_forward(f"{old}.mlp.DenseReluDense", new)
    found += [Rule(f"{old}.mlp.layer_norm.weight", f"{new}/norm3/scale")]
  head = f"{name}.lm_head.weight"
  return _with_head(decoder, Names(found, {}), head, f"{words}.weight", path)


def _with_biased_head(
    decoder: TextDecoder, found: list[Rule], head: str, words: str, path: str
) -> Names:
  """BERT's head has its bias twice; the one of the matrix counts where that is not tied."""
  names = (f"{head}.bias", f"{head}.decoder.bias")
  bias, copy = names if decoder.tied else names[::-1]
  table = Names([*found, Rule(bias, f"{path}/word_bias")], {copy: bias})
  return _with_head(decoder, table, f"{head}.decoder.weight", words, path)


def _with_head(decoder: TextDecoder, table: Names, head: str, words: str, path: str) -> Names:
  if decoder.tied:
    return Names(table.rules, {**table.copies, head: words})
  matrix = Rule(head, f"{path}/word_proj/kernel", rules.TRANSPOSED)
  return Names([*table.rules, matrix], table.copies)


class Family(NamedTuple):
  """Defaults of a configuration; the module it tells; names of the module's weights."""

  defaults: dict[str, Any]
  build: Callable[[Config], TextDecoder]
  names: Callable[[TextDecoder, str, str], Names]


FAMILIES = {
    "gpt2": Family(_GPT2, _gpt2, _gpt2_names),
    "bert": Family(_BERT, _bert, _bert_names),
    "roberta": Family(_ROBERTA, _bert, _roberta_names),
    "xlm-roberta": Family(_XLM_ROBERTA, _bert, _roberta_names),
    "bart": Family(_BART, _bart, _bart_names),
    "mbart": Family(_BART, _bart, _bart_names),
    "trocr": Family(_TROCR, _bart, _trocr_names),
    "blip_text_model": Family(_BLIP, _bert, _bert_names),
    "git": Family(_GIT, _bert, _git_names),
    "pix2struct_text_model": Family(_PIX2STRUCT, _pix2struct, _pix2struct_names),
}
COMBINED = ("gpt2", "bert", "roberta", "xlm-roberta", "bart", "mbart", "trocr")


def build(config: Config) -> TextDecoder:
  """The decoder that `config` tells; its model_type is one of `FAMILIES`."""
  family = FAMILIES[config["model_type"]]
  return family.build(family.defaults | dict(config))


def names(config: Config, name: str, path: str) -> Names:
  """Its weights below the folder's `name` and our `path`."""
  return FAMILIES[config["model_type"]].names(build(config), name, path)


IGNORED = (
    r".*\.position_ids",
    r".*\.relative_position_index",
    r".*\.h\.\d+\.(attn|crossattention)\.(bias|masked_bias)",  # GPT-2's causal masks
    r".*\.embed_positions\._float_tensor",
)
