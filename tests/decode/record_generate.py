"""Records what Hugging Face's `generate` finds with the toy models, for `test_generation`.

  python -m tests.decode.record_generate

Needs torch and transformers, which nothing else here does.
"""

import json
from pathlib import Path

FILE = Path(__file__).parent / "generate.json"
# Seed, spread and bonus of the stop.
MODELS = [
  (0, 1.5, 0.0), (1, 0.5, 1.0), (2, 3.0, -1.0), (3, 1.0, 2.0), (4, 1.5, -4.0), (5, 0.5, 3.0)
]  # fmt: skip
WORDS = 12
SETTINGS = [
  dict(num_beams=1, max_length=9),
  dict(num_beams=3, max_length=9),
  dict(num_beams=4, max_length=12, early_stopping=True),
  dict(num_beams=4, max_length=12, early_stopping="never", length_penalty=1.5),
  dict(num_beams=3, max_length=12, early_stopping="never", length_penalty=-1.0),
  dict(num_beams=5, max_length=10, length_penalty=0.0, early_stopping="never"),
  dict(num_beams=3, max_length=10, length_penalty=2.0, min_length=5),
  dict(num_beams=4, max_length=11, no_repeat_ngram_size=2, early_stopping=True),
  dict(num_beams=3, max_length=12, no_repeat_ngram_size=3, early_stopping="never"),
  dict(num_beams=3, max_length=9, forced_eos_token_id=2, early_stopping=True),
  dict(num_beams=3, max_length=9, forced_eos_token_id=2, forced_bos_token_id=5),
  dict(num_beams=4, max_length=8, forced_bos_token_id=0, no_repeat_ngram_size=2, min_length=4),
  dict(num_beams=3, max_length=9, eos_token_id=[2, 7, 9], early_stopping="never"),
  dict(num_beams=4, max_length=12, start=[4, 6, 3], early_stopping=False, min_length=6),
  dict(num_beams=2, max_length=70, min_length=40, early_stopping=True, forced_eos_token_id=2),
  dict(num_beams=3, max_length=10, suppress_tokens=[3, 4], start=[2], eos_token_id=2),
]  # fmt: skip


def main():
  import torch
  import transformers
  from transformers.modeling_outputs import CausalLMOutput

  from tests.decode import toy

  class TableModel(transformers.PreTrainedModel, transformers.GenerationMixin):
    config_class = transformers.PretrainedConfig
    main_input_name = "input_ids"

    def __init__(self, config, table):
      super().__init__(config)
      self.nothing = torch.nn.Parameter(torch.zeros(1))
      self.table = table

    def prepare_inputs_for_generation(self, input_ids, **kwargs):
      return {"input_ids": input_ids}

    def forward(self, input_ids, **kwargs):
      weights = torch.as_tensor(toy.weights(input_ids.shape[1]))
      rows = (input_ids * weights).sum(-1) % toy.M
      return CausalLMOutput(logits=torch.as_tensor(self.table)[rows][:, None])

  found = []
  for options in SETTINGS:
    options = dict(options)
    start = options.pop("start", [1])
    options = {"eos_token_id": 2, "pad_token_id": 0} | options
    answers = []
    for seed, spread, bonus in MODELS:
      (table,) = toy.random_tables(seed, 1, WORDS, spread=spread, stop_bonus=bonus)
      config = transformers.PretrainedConfig(vocab_size=WORDS)
      model = TableModel(config, table)
      beams = options["num_beams"]
      out = model.generate(
          torch.tensor([start]), do_sample=False, use_cache=False, num_return_sequences=beams,
          return_dict_in_generate=True, output_scores=True, **options,
      )  # fmt: skip
      scores = out.sequences_scores.tolist() if beams > 1 else [None]
      answers.append([[row, score] for row, score in zip(out.sequences.tolist(), scores)])
    found.append(answers)
  FILE.write_text(json.dumps({"transformers": transformers.__version__, "answers": found}))


if __name__ == "__main__":
  main()
