"""The bridge to SPICE's official program: what it says where that cannot run, and its answer."""

import json
import shutil
import sys

import pytest

from mmjax.metrics import spice

REFERENCES, HYPOTHESES = [["a dog runs", "a brown dog"], ["a cat"]], ["a dog", "a bird"]

# The program's own output (its class SpiceStats) for 2 of 3 and 0 of 2 tuples right of 5 and 4.
ANSWER = (
  '[{"scores":{"All":{"pr":0.6666666666666666,"re":0.4,"f":0.5,"fn":3,"numImages":1,"fp":1,"tp":2}'
  '},"image_id":0},{"scores":{"All":{"pr":0.0,"re":0.0,"f":0.0,"fn":4,"numImages":1,"fp":2,"tp":0}'
  '},"image_id":1}]')


@pytest.fixture
def program(tmp_path, monkeypatch):
  """A package folder that holds the names of all files, and a `java` that answers like the right
  one; the second of the two is what a test changes."""
  library = tmp_path / "packages/pycocoevalcap/spice/lib"
  library.mkdir(parents=True)
  (tmp_path / "packages/pycocoevalcap/__init__.py").touch()
  (library.parent / "spice-1.0.jar").touch()
  for name in ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar"):
    (library / name).touch()
  monkeypatch.syspath_prepend(tmp_path / "packages")
  monkeypatch.setenv("PATH", str(tmp_path))

  def install(version='openjdk version "1.8.0_292"', answer=ANSWER, code=0):
    java = tmp_path / "java"
    java.write_text(f"""#!{sys.executable}
import json, pathlib, sys
if sys.argv[1:] == ["-version"]:
  sys.exit(print({version!r}, file=sys.stderr))
jar, given, out = sys.argv[3:6]
assert pathlib.Path(jar).is_file() and out == "-out", sys.argv
items = json.loads(pathlib.Path(given).read_text())
assert [(i["image_id"], i["test"], i["refs"]) for i in items] == {
  [(i, h, r) for i, (h, r) in enumerate(zip(HYPOTHESES, REFERENCES))]!r}, items
print("it failed", file=sys.stderr)
if {answer!r}:
  pathlib.Path(sys.argv[6]).write_text({answer!r})
sys.exit({code})
""")
    java.chmod(0o755)
    return library

  return install


def test_runs_the_program(program):
  program()
  measured = spice.measure(REFERENCES, HYPOTHESES)
  assert measured.samples()["spice"].tolist() == [0.5, 0]
  assert measured.corpus() == {"spice": 0.25}


@pytest.mark.parametrize("options, message", [
  (dict(version='openjdk version "17.0.15" 2025-04-15'), "needs Java 8 to 14.*17.0.15"),
  (dict(version="no Java"), "needs Java 8 to 14.*no Java"),
  (dict(code=1), "ended with code 1: it failed"),
  (dict(answer=""), "ended with code 0: it failed"),
  (dict(answer="[]"), "scored 0 of 2 captions"),
  (dict(answer=json.dumps(json.loads(ANSWER)[:1])), "scored 1 of 2 captions"),
  (dict(answer=ANSWER.replace('"f":0.5', '"f":null')), "not the form"),
  (dict(answer="<html>"), "wrote '<html>', which is not the form"),
])
def test_a_failure_is_never_a_number(program, options, message):
  program(**options)
  with pytest.raises(spice.NotAvailableError, match=f"(?s)not available: .*{message}"):
    spice.measure(REFERENCES, HYPOTHESES)


def test_names_what_is_missing(program, monkeypatch, tmp_path):
  library = program()
  (tmp_path / "java").unlink()
  with pytest.raises(spice.NotAvailableError, match="there is no `java`"):
    spice.measure(REFERENCES, HYPOTHESES)
  (library / "stanford-corenlp-3.6.0-models.jar").unlink()
  with pytest.raises(spice.NotAvailableError, match=r"needs stanford\S+-models\.jar in "):
    spice.measure(REFERENCES, HYPOTHESES)
  (library.parent / "spice-1.0.jar").unlink()
  monkeypatch.setattr(sys, "path", [str(tmp_path / "packages")])
  with pytest.raises(spice.NotAvailableError, match=r"pip install mmjax\[metrics\]"):
    spice.measure(REFERENCES, HYPOTHESES)


def test_this_machine_scores_or_says_why_not():
  try:
    scores = spice.measure(REFERENCES, HYPOTHESES).samples()["spice"]
  except spice.NotAvailableError as error:
    assert str(error).startswith("not available: ")
  else:
    assert shutil.which("java") and 0 < scores[0] <= 1


@pytest.mark.parametrize("references, hypotheses, message", [
  ([], [], "0 hypotheses for 0 lists"),
  ([["a"]], [], "0 hypotheses for 1 lists"),
  ([["a"], []], ["a", "b"], r"references\[1\] is \[\]"),
  ([["a"], "a cat"], ["a", "b"], r"references\[1\] is 'a cat'")])
def test_bad_input_is_refused(references, hypotheses, message):
  with pytest.raises(ValueError, match=message):
    spice.measure(references, hypotheses)
