import pytest

from mmjax.report.wording import format_tick, format_value, label


@pytest.mark.parametrize("name, value, text", [
  ("exprate", 0.5396, "53.96 %"), ("validation/normalised_exprate_1", 1.0, "100.00 %"),
  ("ser", 0.0, "0.00 %"), ("cider", 0.5781, "57.8"),
  ("validation/bleu_4", 0.2, "20.0"), ("meteor_exact_stem", 0.2, "20.0"), ("rouge_l", 1.0, "100.0"),
  ("loss", 0.123456, "0.1235"), ("series", 0.5, "0.5"),
  ("images", 1234567.0, "1,234,567"), ("loss", float("nan"), "–")])
def test_numbers_are_written_for_readers(name, value, text):
  assert format_value(name, value) == text


def test_axes_have_the_unit_of_the_numbers():
  assert format_tick("validation/exprate", 0.5) == "50 %"
  assert format_tick("cider", 0.5) == "50" and format_tick("loss", 0.5) == "0.5"


def test_scores_are_called_as_in_papers():
  assert [label(n) for n in ("cider", "bleu_4", "rouge_l")] == ["CIDEr", "BLEU-4", "ROUGE-L"]
  assert label("token_accuracy") == "token accuracy"
