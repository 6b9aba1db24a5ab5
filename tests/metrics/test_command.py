"""`python -m mmjax.metrics` on files: what it prints, writes and refuses."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from mmjax.metrics import registry
from mmjax.metrics.__main__ import main
from mmjax.metrics.preparation import prepare
from mmjax.metrics.registry import METRICS, Metric, NotAvailableError

REFERENCES = {"a": ["x + 1", "x+1"], "b": ["y"], "c": ["z z"], "d": ["1"]}
HYPOTHESES = {"d": "1", "c": "z", "b": "y", "a": r"x+1"}


@pytest.fixture(autouse=True)
def standin(monkeypatch):
  row = Metric("tests.metrics.standin", "formula", ("same", "ratio", "never"), "for tests")
  monkeypatch.setitem(METRICS, "standin", row)
  monkeypatch.setitem(METRICS, "needy", row._replace(needs=("clip",), scores=("need",)))
  monkeypatch.setitem(METRICS, "absent", Metric("mmjax.metrics.none", "raw", ("absent",), ""))


@pytest.fixture
def run(tmp_path, capsys):
  """Writes the given files and runs the command on them: (exit code, output, errors)."""

  def run(*args, refs=REFERENCES, hyps=HYPOTHESES, compare=None):
    args = [*args]
    for name, content in (("refs", refs), ("hyps", hyps), ("compare", compare)):
      if content is not None:
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        args.append(f"--{name}={tmp_path / name}.json")
    code = main(args)
    said = capsys.readouterr()
    return code, said.out, said.err

  return run


def test_json(run):
  code, out, err = run("--metrics=standin", "--json", "--seed=3", "--samples=200")
  found = json.loads(out)
  assert code == 0 and err == "" and out.count("\n") == 1
  assert found["same"] == 3 / 4 and found["ratio"] == 6 / 7
  (low, high), _ = found["intervals"].values()
  assert 0 <= low < 0.75 < high == 1
  assert {k: found[k] for k in ("samples", "language", "unit", "seed", "resamples")} == {
      "samples": 4, "language": "en", "unit": "word", "seed": 3, "resamples": 200}
  assert found["not_available"] == {"never": "tests.metrics.standin gives same, ratio here"}
  assert json.loads(run("--metrics=standin", "--json", "--seed=3", "--samples=200")[1]) == found
  without = json.loads(run("--metrics=standin", "--json", "--no-intervals")[1])
  assert "intervals" not in without and without["same"] == 3 / 4


def test_one_score_alone(run):
  found = json.loads(run("--metrics=ratio", "--json")[1])
  assert found["ratio"] == 6 / 7 and "same" not in found and found["not_available"] == {}


def test_table(run):
  code, out, _ = run("--metrics=standin,needy,absent", hyps=HYPOTHESES | {"d": ""})
  lines = out.splitlines()
  assert code == 0
  assert lines[0].split() == ["metric", "score", "95", "%", "interval"]
  assert lines[1].startswith("same    0.5000") and len({len(line) for line in lines[:3]}) == 1
  assert "4 samples, language en, by word, 1000 resamples" in lines
  assert "note: 1 of 4 hypotheses in hyps.json are empty" in lines
  assert "needy not available: give --clip=FILE" in lines
  assert "absent not available: No module named 'mmjax.metrics.none'; pip install" in out


def test_nothing_can_be_scored(run):
  code, out, _ = run("--metrics=needy", "--json")
  assert code == 1 and json.loads(out)["not_available"] == {"needy": "give --clip=FILE"}
  assert run("--metrics=needy")[1].startswith("nothing could be scored\n")


def test_scores_of_each_sample(run, tmp_path):
  run("--metrics=standin", f"--per_sample={tmp_path / 's'}")
  rows = [json.loads(line) for line in (tmp_path / "s").read_text().splitlines()]
  assert rows[0] == {"id": "a", "same": 1, "ratio": 1} and rows[2]["ratio"] == 1 / 2
  assert [r["id"] for r in rows] == list("abcd")
  code, _, err = run("--metrics=standin", f"--per_sample={tmp_path}/no/folder")
  assert code == 1 and err.startswith("metrics: --per_sample: ")


def test_a_dropped_formula_is_none_and_a_dropped_caption_empty(run, monkeypatch):
  given = []
  from tests.metrics import standin

  keep = standin.measure
  monkeypatch.setattr(standin, "measure", lambda r, h: given.append(h) or keep(r, h))
  monkeypatch.setitem(METRICS, "raw", METRICS["standin"]._replace(preparation="raw"))
  assert run("--metrics=standin,raw", hyps=HYPOTHESES | {"a": None, "d": ""})[0] == 0
  assert given == [[None, "y", "z", ""], ["", "y", "z", ""]]


def test_two_systems(run):
  refs = {str(i): ["x"] for i in range(40)}
  bad, good = ({k: "x" if int(k) < n else "y z" for k in refs} for n in (10, 30))
  options = {"refs": refs, "hyps": bad, "compare": good}
  found = json.loads(run("--metrics=standin", "--json", **options)[1])
  assert found["same"] == 1 / 4
  same = found["compare"]["same"]
  assert same["difference"] == 1 / 2 and same["p_value"] < 0.01
  assert 0.3 < same["interval"][0] < 0.5 < same["interval"][1] < 0.7
  out = run("--metrics=standin", **options)[1]
  assert "difference" in out and "+0.5000" in out


@pytest.mark.parametrize("written, tokens", [
    (r"\frac{a}{bc}", r"\frac { a } { b c }"),
    (r"\frac { a }", r"\frac { a }"),
    (r" ab  \operatorname* ", r"ab \operatorname*"),
    ("", ""),
])
def test_formulas_with_blanks_are_tokens_and_without_are_cut(written, tokens):
  found = prepare("formula", "en", "word", [[written, "x y"]], [[[written]]])
  assert found == ([[tokens, "x y"]], [[[tokens]]])


def test_one_picture_alone_has_no_cider(run, monkeypatch):
  monkeypatch.setitem(METRICS, "cider", METRICS["standin"])
  one = {"refs": {"a": "x"}, "hyps": {"a": "x"}}
  assert "note: CIDEr of one picture alone is 0" in run("--metrics=cider", **one)[1]
  assert "CIDEr" not in run("--metrics=standin", **one)[1]


def test_a_list_of_hypotheses_is_scored_by_its_first(run):
  code, out, _ = run("--metrics=standin", hyps=HYPOTHESES | {"d": ["1", "2", "3"]})
  assert code == 0 and "same    0.7500" in out
  assert "note: up to 3 hypotheses a sample: the first is scored" in out


@pytest.mark.parametrize("args, changes, message", [
    (["--metrics=blue"], {}, "no metric 'blue'; did you mean bleu"),
    (["--metrics=qqqqqqqq"], {}, "no metric 'qqqqqqqq'; there are bleu, meteor"),
    (["--metrics=,"], {}, "no metric is named"),
    (["--metrics=standin"], {"hyps": {"a": "x"}}, "3 only in the references (b, c, d); 1 are in"),
    (["--metrics=standin"], {"refs": REFERENCES | {"d": []}}, "'d' has no reference that is not"),
    (["--metrics=standin"], {"refs": None, "args": ["--refs=none.json"]}, "no such file"),
    (["--metrics=standin"], {"compare": {"a": "x"}}, "the ids differ"),
])  # fmt: skip
def test_bad_input_is_refused(run, args, changes, message):
  extra = changes.pop("args", [])
  code, out, err = run(*args, *extra, **changes)
  assert code == 2 and out == "" and err.startswith("metrics: ") and message in err
  assert err.count("\n") == 1


@pytest.mark.parametrize("args, message", [
    ([], "the following arguments are required: --refs, --hyps"),
    (["--refs=r", "--hyps=h", "--unit=char"], "--unit=char is for --language=zh"),
    (["--refs=r", "--hyps=h", "--samples=0"], "--samples must be 1 or more"),
    (["--refs=r", "--hyps=h", "--language=fr"], "invalid choice: 'fr'"),
])  # fmt: skip
def test_wrong_usage(capsys, args, message):
  with pytest.raises(SystemExit) as stopped:
    main(args)
  assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_help_lists_every_metric(capsys):
  with pytest.raises(SystemExit) as stopped:
    main(["--help"])
  out = capsys.readouterr().out
  assert stopped.value.code == 0 and max(map(len, out.splitlines())) <= 110
  for metric in METRICS.values():
    assert all(name in out for name in metric.scores)


def test_failures_to_run_are_not_available_and_bad_texts_are_errors(monkeypatch):
  row = METRICS["standin"]
  from tests.metrics import standin

  for raised, expected, message in (
      (OSError("not available: no java"), NotAvailableError, "^no java"),
      (ImportError("no render"), NotAvailableError, "no render"),
      (ValueError("0 tokens"), ValueError, "0 tokens"),
  ):
    def fail(*_, raised=raised):
      raise raised

    monkeypatch.setattr(standin, "measure", fail)
    with pytest.raises(expected, match=message):
      registry.measure(row, [["x"]], ["x"])


def test_rows_tell_what_modules_measure():
  """Those that are here; the rest of METRICS says so itself when asked for."""
  seen = 0
  for name, row in METRICS.items():
    try:
      found = registry.measure(row, [["a b c d e"], ["a c"]], ["a b c d f", "b c"])
    except NotAvailableError:
      continue
    seen += 1
    scores = found.corpus()
    assert set(row.scores) - set(row.missing) <= scores.keys() | {*row.corpus, "never"}, name
    assert found.statistics.shape[0] == 2 and all(np.isfinite(v) for v in scores.values())
    assert {v.shape for v in found.samples().values()} == {(2,)}, name
  assert seen


def test_starts_fast_and_without_jax(tmp_path):
  for name in ("r", "h"):
    (tmp_path / name).write_text('{"a": "x", "b": "y"}')
  code = f"""if True:
    import sys
    from mmjax.metrics.__main__ import main
    from mmjax.metrics import registry
    registry.METRICS["standin"] = registry.Metric("tests.metrics.standin", "formula", (), "")
    assert main(["--refs={tmp_path}/r", "--hyps={tmp_path}/h", "--metrics=standin"]) == 0
    assert not [m for m in ("jax", "flax", "tensorflow", "jieba") if m in sys.modules]
  """
  used = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
  before = used()
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
  assert used() - before < 2  # seconds of a core; 0.3 where nothing else runs
