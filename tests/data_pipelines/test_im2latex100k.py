import gzip
import io
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from data_pipelines.builders.im2latex100k import source, tex
from data_pipelines.builders.parts import ItemError
from data_pipelines.datasets import SourceError
from data_pipelines.index import load_index
from data_pipelines.prepare import main, prepare

SPLITS = {"train": 6, "validate": 2, "test": 3}
NORMALISED = "im2latex_formulas.norm.lst"


def printed(seed: int) -> bytes:
  """Black on white, as the published pictures are."""
  page = np.full((20 + seed, 40), 255, np.uint8)
  page[8:12, 8 : 12 + seed] = 0
  out = io.BytesIO()
  Image.fromarray(page).save(out, "PNG")
  return out.getvalue()


def rows() -> list[tuple[str, str, str]]:
  """(split, image, formula); `\\beta` is in test only."""
  numbered = [(split, n) for split, count in SPLITS.items() for n in range(count)]
  return [
      (split, f"{split}{n}", rf"x _ {{ {i} }}" + (r" + \beta" if split == "test" else ""))
      for i, (split, n) in enumerate(numbered)
  ]


def write_pictures(folder):
  folder.mkdir(parents=True)
  for i, (_, image, _) in enumerate(rows()):
    (folder / f"{image}.png").write_bytes(printed(i))


def write_lists(directory, filtered=True, formulas=None):
  """im2markup's layout; the formulas stand in the list in reverse, as one line each."""
  lines = [formula.encode() for _, _, formula in rows()][::-1] if formulas is None else formulas
  (directory / NORMALISED).write_bytes(b"\r\n".join(lines) + b"\r\n")
  at = {image: len(rows()) - 1 - i for i, (_, image, _) in enumerate(rows())}
  for split in SPLITS:
    images = [image for of, image, _ in rows() if of == split]
    filtered_lines = [f"{image}.png {at[image]}" for image in images]
    plain_lines = [f"{at[image]} {image} basic" for image in images]
    name = f"im2latex_{split}{'_filter' if filtered else ''}.lst"
    (directory / name).write_text("\n".join(filtered_lines if filtered else plain_lines) + "\n")


def write_csv(directory):
  for split in SPLITS:
    lines = [f'"{formula}",{image}.png' for of, image, formula in rows() if of == split]
    (directory / f"im2latex_{split}.csv").write_text("\r\n".join(["formula,image", *lines]))
  pictures = directory / "formula_images_processed"
  pictures.rename(directory / "deep")
  shutil.move(directory / "deep", pictures / "formula_images_processed")


def write_tables(directory):
  """The sample has train and a picture of test; the rest of test has no picture."""
  sample = [r for r in rows() if r[0] != "test"] + [r for r in rows() if r[1] == "test1"]
  text = "".join(f"{split}\t{image}\t{formula}\traw\n" for split, image, formula in sample)
  (directory / "sample_labels.tsv").write_text(text)
  test = "".join(f"{image}\t{formula}\n" for split, image, formula in rows() if split == "test")
  test += "empty\t\nunknown\tx <UNK>\n"
  (directory / "formulas_test.norm.tsv.gz").write_bytes(gzip.compress(test.encode()))
  (directory / "formulas_train_first9.norm.txt").write_text("x _ { 0 }\n\\gamma\n")
  with zipfile.ZipFile(directory / "sample_images.zip", "w") as archive:
    for _, image, _ in sample:
      archive.write(directory / "formula_images_processed" / f"{image}.png", f"{image}.png")
  shutil.rmtree(directory / "formula_images_processed")


@pytest.fixture
def made(tmp_path):
  write_pictures(tmp_path / "source" / "formula_images_processed")
  return tmp_path / "source"


def message(directory, **options) -> str:
  with pytest.raises(SourceError) as caught:
    source.read_source(directory, **options)
  return str(caught.value)


FORMS = {
    "filtered lists": write_lists,
    "lists": lambda directory: write_lists(directory, filtered=False),
    "csv": write_csv,
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_formulas_with_their_pictures(made, tmp_path, form):
  FORMS[form](made)
  builder, _ = prepare("im2latex100k", tmp_path / "data", made, allow_partial=True)
  for split, name in source.NAMES.items():
    index = load_index(builder, split)
    wanted = [(image, formula) for of, image, formula in rows() if of == name]
    assert list(zip(index.ids, index.texts)) == wanted
  published = source.PUBLISHED if form == "lists" else source.FILTERED
  deviation = f"train: 6 records, published {published['train']:,}"
  assert deviation in builder.info.metadata["deviations"]
  assert list(builder.info.metadata["unseen_words"]) == ["+", "10", "6", "7", "8", "9", r"\beta"]
  assert list(builder.info.metadata["vocabulary"])[-1] == r"\beta"


def test_pictures_become_white_on_black(made, tmp_path):
  write_lists(made)
  builder, _ = prepare("im2latex100k", tmp_path / "data", made, allow_partial=True)
  picture = builder.as_data_source("train")[2]["image"][:, :, 0]
  wanted = np.zeros((22, 40), np.uint8)
  wanted[8:12, 8:14] = 255
  np.testing.assert_array_equal(picture, wanted)


def test_whole_pages_are_cropped_and_halved(made):
  write_lists(made)
  (made / "formula_images_processed").rename(made / "formula_images")
  formula = source.read_source(made).splits["train"][2]
  record = source.make(formula)
  assert (record["height"], record["width"]) == ((4 + 16) // 2, (6 + 16) // 2)


def test_tables_tell_what_is_there_and_what_is_left_out(made, tmp_path, capsys):
  write_tables(made)
  read = source.read_source(made)
  assert {s: len(f) for s, f in read.splits.items()} == {"train": 6, "validation": 2, "test": 1}
  assert read.left_out == ["test: 1 rows without a formula", "test: 1 rows with an unknown word"]
  assert "test: 2 formulas without picture: test0, test2" in read.deviations
  arguments = ["im2latex100k", f"--manual_dir={made}", f"--data_dir={tmp_path / 'data'}"]
  assert main(arguments) == 2
  assert "--allow_partial prepares what is there" in capsys.readouterr().err
  assert not list((tmp_path / "data").iterdir())
  assert main([*arguments, "--allow_partial"]) == 0
  assert "deviations: test: 2 formulas without picture" in capsys.readouterr().out


def test_formulas_without_picture_are_to_be_drawn_when_that_is_asked_for(made):
  write_tables(made)
  read = source.read_source(made, render=True)
  assert [f.id for f in read.splits["test"]] == ["test1", "test0+tex", "test2+tex"]
  assert [f.text for f in read.splits["train"]][-1] == r"\gamma"  # the other is there already
  assert [f.place is None for f in read.splits["train"]] == [False] * 6 + [True]


def test_raw_formulas_keep_their_odd_line_ends_and_bytes(made):
  raw = [b"x"] * 8 + [b"\xe9 _1", b"a\rb \\label{eq:1}", b"%\\frac12 % no"]
  write_lists(made, formulas=raw)
  (made / NORMALISED).rename(made / "im2latex_formulas.lst")
  read = source.read_source(made)
  assert read.labels == "normalised here"
  texts = [f.text for f in read.splits["train"][:3]]
  assert texts == [r"\frac 1 2", "a b", "_ { 1 }"]  # the published form knows ASCII alone


def test_a_vocabulary_file_comes_first(made, tmp_path):
  write_lists(made)
  (made / "vocab.txt").write_text("}\n{\n\\beta\n")
  builder, _ = prepare("im2latex100k", tmp_path / "data", made, allow_partial=True)
  assert list(builder.info.metadata["vocabulary"])[:4] == ["}", "{", r"\beta", "0"]


def test_images_that_the_published_list_names_twice_give_one_record(made):
  write_lists(made)
  with (made / "im2latex_train_filter.lst").open("a") as f:
    f.write("train0.png 3\n")
  read = source.read_source(made)
  assert len(read.splits["train"]) == 6
  assert "train: 1 rows that repeat an earlier one" in read.left_out
  with (made / "im2latex_test_filter.lst").open("a") as f:
    f.write("test0.png 3\n")
  assert "im2latex_test_filter.lst: repeated image (1): test0" in message(made)


def test_a_table_names_each_image_once(made):
  write_tables(made)
  with (made / "sample_labels.tsv").open("a") as f:
    f.write("train\ttrain0\tx\n")
  assert "sample_labels.tsv: repeated image (1): train0" in message(made)


def damage_line(file, number, text):
  lines = file.read_bytes().split(b"\n")
  lines[number - 1] = text
  file.write_bytes(b"\n".join(lines))


TRAIN = "im2latex_train_filter.lst"
DAMAGE = {
    "field": (TRAIN, lambda f: damage_line(f, 2, b"train1.png"), 'not "<image>.png <line>"'),
    "number": (TRAIN, lambda f: damage_line(f, 2, b"train1.png 99"), "lacks (1): train1 (99)"),
    "nul": (TRAIN, lambda f: damage_line(f, 2, b"tr\0.png 1"), "has a NUL byte (1): line 2"),
    "bytes": (TRAIN, lambda f: damage_line(f, 2, b"tr\xff.png 1"), "is not UTF-8 text (1): line 2"),
    "empty": (TRAIN, lambda f: f.write_text(""), "is empty"),
    "missing": (TRAIN, lambda f: f.unlink(), "is missing"),
    "no formulas": (NORMALISED, lambda f: f.write_text(""), f"{NORMALISED}: is empty"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_lists_are_named_with_their_lines(made, kind):
  write_lists(made)
  file, damage, said = DAMAGE[kind]
  damage(made / file)
  found = message(made)
  assert f"{file}: " in found and said in found
  assert "im2markup's files" in found


def test_a_csv_with_too_few_fields_is_named(made):
  write_csv(made)
  damage_line(made / "im2latex_train.csv", 3, b"x")
  damage_line(made / "im2latex_test.csv", 1, b"a,b")
  found = message(made)
  assert "im2latex_train.csv: not as many fields as columns, or no image (1): line 3" in found
  assert "im2latex_test.csv: has no columns formula and image" in found


def test_a_truncated_gzip_and_archive_are_named(made):
  write_tables(made)
  for name in ("formulas_test.norm.tsv.gz", "sample_images.zip"):
    (made / name).write_bytes((made / name).read_bytes()[:-20])
  found = message(made)
  assert "formulas_test.norm.tsv.gz: cannot be read" in found
  assert "sample_images.zip: cannot be opened as a zip archive" in found


def test_nothing_and_packed_pictures(tmp_path, made):
  (tmp_path / "empty").mkdir()
  found = message(tmp_path / "empty")
  assert "im2latex_formulas.norm.lst: is missing, and so is every other form's list" in found
  assert "formula_images_processed: is missing, and so is" in found
  write_lists(made)
  shutil.rmtree(made / "formula_images_processed")
  (made / "formula_images_processed.tar.gz").write_bytes(b"x")
  assert "is missing: unpack formula_images_processed.tar.gz" in message(made)


def test_a_picture_that_cannot_be_used_fails_and_is_named_or_left_out(made, tmp_path):
  write_lists(made)
  (made / "formula_images_processed" / "train4.png").write_text("<html>not found</html>")
  (made / "formula_images_processed" / "train5.png").write_bytes(printed(5)[:60])
  with pytest.raises(ItemError, match="an HTML page"):
    source.make(source.read_source(made).splits["train"][4])
  builder, _ = prepare("im2latex100k", tmp_path / "data", made, allow_partial=True)
  assert load_index(builder, "train").ids == [f"train{n}" for n in range(4)]
  lost = [d for d in builder.info.metadata["deviations"] if d.startswith("train: train")]
  assert len(lost) == 2 and lost[0].startswith("train: train4: an HTML page")
  assert lost[1].startswith("train: train5: ")
  for n in range(4):
    (made / "formula_images_processed" / f"train{n}.png").write_bytes(b"")
  with pytest.raises(SourceError, match="no record of train can be made:\n  train: train0"):
    prepare("im2latex100k", tmp_path / "data", made, allow_partial=True, overwrite=True)
  assert load_index(builder, "train").ids == [f"train{n}" for n in range(4)]


# --- TeX

PAIRS = [pair for pair in tex.PROGRAMS if all(map(shutil.which, pair))]
needs_tex = pytest.mark.skipif(not PAIRS, reason=f"needs TeX: {tex.INSTALL}")


def test_without_tex_the_error_says_what_to_install(monkeypatch, made, tmp_path):
  monkeypatch.setenv("PATH", str(tmp_path))
  tex.programs.cache_clear()
  write_tables(made)
  with pytest.raises(SourceError, match=r"needs TeX, but neither latex and dvipng nor .*apt-get"):
    prepare("im2latex100k", tmp_path / "data", made, allow_partial=True, options=["render"])
  tex.programs.cache_clear()


@needs_tex
@pytest.mark.parametrize("pair", PAIRS, ids=[pair[1] for pair in PAIRS])
def test_tex_draws_a_formula(pair):
  one, two = (tex.draw(f"x ^ {{ 2 }} {more}", pair) for more in ("", r"+ \frac { 1 } { 2 }"))
  assert one.max() > 200 and one[0].max() == one[:, 0].max() == 0
  assert two.shape[0] > one.shape[0] + 10 and two.shape[1] > one.shape[1] + 10


@needs_tex
@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (r"\foo { 1 }", r"Undefined control sequence.*\\foo"),
        ("{ x", "Missing }|Extra }|ended by"),
        (r"\input { /etc/passwd }", "not found|Not|can't"),
        ("~", "TeX draws nothing|makes no picture"),
    ],
)
def test_what_tex_refuses_is_said(formula, said):
  with pytest.raises(tex.TexError, match=said):
    tex.draw(formula)


@needs_tex
def test_a_formula_without_end_is_stopped(monkeypatch):
  monkeypatch.setattr(tex, "SECONDS", 0.5)
  with pytest.raises(tex.TexError, match="latex takes more than"):
    tex.draw(r"\def \a { \a } \a")


@needs_tex
def test_formulas_are_drawn_and_failures_listed(made, tmp_path):
  write_tables(made)
  more = "\\gamma\n\\foo\n\\hspace { ~ 1 . 0 c m } y\n"
  (made / "formulas_train_first9.norm.txt").write_text(more)
  builder, _ = prepare(
      "im2latex100k", tmp_path / "data", made, allow_partial=True, options=["render"]
  )
  names = [f"formulas_train_first9-0000{n}+tex" for n in (1, 3)]
  assert load_index(builder, "train").ids == [f"train{n}" for n in range(6)] + names
  (lost,) = [d for d in builder.info.metadata["deviations"] if "Undefined" in d]
  assert lost.startswith("train: formulas_train_first9-00002+tex: Undefined control sequence")
  assert builder.info.metadata["drawn"] == {"train": 3, "validation": 0, "test": 2}


def test_the_published_sample(shared):
  read = source.read_source(shared / "data" / "im2latex100k")
  assert [len(read.splits[s]) for s in ("train", "validation", "test")] == [991, 99, 100]
  assert "test: 71 rows without a formula" in read.left_out
  record = source.make(read.splits["train"][0])
  decoded = np.array(Image.open(io.BytesIO(record["image"])))
  assert decoded.shape == (record["height"], record["width"]) == (100, 500)
  assert decoded.mean() < 40
