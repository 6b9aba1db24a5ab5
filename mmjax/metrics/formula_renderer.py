r"""Formulas as pictures: by LaTeX where it is installed, else by matplotlib's mathtext.

All at 12 points, display style, 200 dots per inch, cropped to their ink, as im2markup renders for
its image scores. Renderers differ in fonts, spacing and in what they can draw, so that pictures,
and scores of pictures, compare only within one renderer; `Renderer.name` says which it was.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import io
import itertools
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmjax.text import latex, latex_tree

Picture = UInt8[np.ndarray, "h w"]  # gray, black on white
Draw = Callable[[Sequence[str]], list[Picture | None]]

DOTS_PER_INCH = 200
_SECONDS = 10  # for one formula; TeX can be made to run for ever
_BATCH = 16  # formulas in one run of TeX
_PAGES = {
  "latex": "\\begin{displaymath}\n%s\n\\end{displaymath}\n\\clearpage\n",
  # A page of a PDF cuts off what goes over its edge, so each is as large as its formula.
  "pdflatex": "\\setbox0\\hbox{$\\displaystyle\n%s\n$}\\pdfpagewidth\\dimexpr\\wd0+8pt\\relax"
              "\\pdfpageheight\\dimexpr\\ht0+\\dp0+8pt\\relax\\shipout\\box0\n",
}
_PREAMBLE = r"""\documentclass[12pt]{article}
\pagestyle{empty}
\ifdefined\pdfoutput\ifnum\pdfoutput>0 \pdfhorigin=4pt \pdfvorigin=4pt \fi\fi
\usepackage{amsmath,amssymb}
\newcommand{\oldmatrix}[1]{\begin{matrix}#1\end{matrix}}
\newcommand{\oldpmatrix}[1]{\begin{pmatrix}#1\end{pmatrix}}
"""


@dataclasses.dataclass(frozen=True)
class Renderer:
  """Draws formulas.

  Attributes:
    name: of the programs, and of the rules by which they are called.
    draw: formulas -> a picture each, None where one cannot be drawn.
  """

  name: str
  draw: Draw


def find(name: str | None = None) -> Renderer:
  """A renderer by its name, or the best that this machine has.

  Args:
    name: `latex_dvipng`, `pdflatex_pdftoppm` or `mathtext`; None for the first of them there is.

  Raises:
    ValueError: no such renderer, or its programs are not installed.
  """
  renderers: dict[str, Draw] = {
    "latex_dvipng": functools.partial(draw_with_tex, programs=("latex", "dvipng")),
    "pdflatex_pdftoppm": functools.partial(draw_with_tex, programs=("pdflatex", "pdftoppm")),
    "mathtext": draw_with_mathtext,
  }
  if name is not None and name not in renderers:
    raise ValueError(f"no renderer {name!r}; use one of {', '.join(renderers)}")
  for known, draw in renderers.items():
    missing = [] if known == "mathtext" else [p for p in known.split("_") if not shutil.which(p)]
    if name == known and missing:
      raise ValueError(
        f"renderer {name} needs {' and '.join(missing)}; on Debian: apt-get install "
        "texlive-latex-extra dvipng poppler-utils, or use mathtext")
    if name == known or (name is None and not missing):
      return Renderer(known, draw)
  raise AssertionError("mathtext needs no program")


def render(
    formulas: Iterable[str], renderer: Renderer, processes: int = 1,
    cache: pathlib.Path | None = None,
) -> dict[str, Picture | None]:
  """Pictures of formulas.

  Args:
    formulas: LaTeX; each different one is drawn once.
    renderer: of `find`.
    processes: that draw at the same time.
    cache: folder that keeps pictures from call to call, by renderer and formula; None for none.

  Returns:
    A picture of each formula, None where it cannot be drawn. A blank one has no pixels.
  """
  out: dict[str, Picture | None] = {}
  missing = []
  for formula in dict.fromkeys(formulas):
    path = cache and _cached(cache, renderer, formula)
    if path and path.exists():
      out[formula] = _read(path.read_bytes())
    else:
      missing.append(formula)
  batches = [missing[i : i + _BATCH] for i in range(0, len(missing), _BATCH)]
  pictures = map_over(renderer.draw, batches, processes)
  for formula, picture in zip(missing, itertools.chain.from_iterable(pictures)):
    out[formula] = picture
    if cache:
      _keep(_cached(cache, renderer, formula), picture)
  return out


def map_over(function: Callable, jobs: Sequence, processes: int) -> Iterable:
  """Results of a function over jobs, by a pool of processes where more than one is wanted."""
  if processes <= 1 or len(jobs) <= 1:
    yield from map(function, jobs)
    return
  # Not forked: JAX runs threads.
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(min(processes, len(jobs)), context) as pool:
    yield from pool.map(function, jobs, chunksize=max(1, len(jobs) // (4 * processes)))


def _cached(cache: pathlib.Path, renderer: Renderer, formula: str) -> pathlib.Path:
  digest = hashlib.sha256(formula.encode()).hexdigest()
  return cache / renderer.name / digest[:2] / f"{digest[2:]}.png"


def _keep(path: pathlib.Path, picture: Picture | None) -> None:
  """Writes a picture, or an empty file for none, so that other processes never see a part of it."""
  data = io.BytesIO()
  if picture is not None:
    # A picture without pixels cannot be written; a white one is read back as one without.
    Image.fromarray(picture if picture.size else np.full((1, 1), 255, np.uint8)).save(data, "PNG")
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
    file.write(data.getvalue())
  os.replace(file.name, path)


def _read(data: bytes) -> Picture | None:
  if not data:
    return None
  with Image.open(io.BytesIO(data)) as image:
    return _cropped(np.asarray(image.convert("L")))


def _cropped(picture: Picture) -> Picture:
  """The part of a picture with ink in it."""
  rows, columns = (np.flatnonzero((picture < 255).any(axis)) for axis in (1, 0))
  if not rows.size:
    return np.zeros((0, 0), np.uint8)
  return picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw_with_mathtext(formulas: Sequence[str]) -> list[Picture | None]:
  """Pictures by matplotlib, which knows no arrays and only some commands."""
  from matplotlib import font_manager, mathtext  # slow to import, and needed only here

  parser = mathtext.MathTextParser("agg")
  font = font_manager.FontProperties(size=12, math_fontfamily="cm")
  out: list[Picture | None] = []
  for formula in formulas:
    # A script after a blank is none to mathtext; only a command and a letter need one between.
    canonical = latex.detokenize(latex.normalise(latex.tokenize(formula)))
    written = re.sub(r"(\\[A-Za-z]+ )(?=[A-Za-z])|(\S) ",
                     lambda m: m[1] or m[2], canonical)
    try:
      parsed = parser.parse(f"${written}$", dpi=DOTS_PER_INCH, prop=font) if written else None
    except (ValueError, RuntimeError, RecursionError):  # what it says of formulas it cannot parse
      out.append(None)
      continue
    ink = np.zeros((0, 0), np.uint8) if parsed is None else np.asarray(parsed.image)
    out.append(_cropped(255 - ink))
  return out


def draw_with_tex(
    formulas: Sequence[str], programs: tuple[str, str]
) -> list[Picture | None]:
  """Pictures by LaTeX; errors that it recovers from are its affair, as in im2markup."""
  pages = typeset([_prepared(f) for f in formulas], programs)
  return [None if page is None else _cropped(np.asarray(page.convert("L"))) for page in pages]


def _prepared(formula: str) -> str:
  """A formula as TeX can read it, by im2markup's rules."""
  formula = formula.strip().strip("%")
  formula = re.sub(r"\\(p?matrix)(?![A-Za-z])", r"\\old\1", formula)
  # \hspace { 1 . 5 c m }: TeX takes no blanks in a length.
  return re.sub(r"([hv]space \{)(.*?)\}", lambda m: m[1] + m[2].replace(" ", "") + "}", formula)


def typeset(
    bodies: Sequence[str], programs: tuple[str, str], preamble: str = "", smooth: bool = True
) -> list[Image.Image | None]:
  """A page of each body of display mathematics, cropped, or None.

  Sound formulas go through one run of TeX; where that has errors, each half by itself, and so on;
  what is no formula has a run of its own. So a page never depends on its neighbours.

  Args:
    bodies: what stands in a display.
    programs: that turns LaTeX into pages and that turns pages into pictures.
    preamble: what is to be added to it.
    smooth: whether edges have colours in between; without, of pdftoppm only, a page has no colours
      but those of its symbols.
  """
  pages: list[Image.Image | None] = [None] * len(bodies)
  todo = [[i] for i, body in enumerate(bodies) if not _is_formula(body)]
  sound = [i for i in range(len(bodies)) if [i] not in todo]
  todo += [sound] if sound else []
  while todo:
    batch = todo.pop()
    some = [bodies[i] for i in batch]
    with tempfile.TemporaryDirectory() as folder:
      done, clean = _run(some, programs, preamble, smooth, pathlib.Path(folder))
    if len(batch) == 1 and done:
      pages[batch[0]] = done[0]
    elif len(batch) > 1 and clean and len(done) == len(batch):
      for i, page in zip(batch, done):
        pages[i] = page
    elif len(batch) > 1:
      todo += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
  return pages


def _is_formula(body: str) -> bool:
  try:
    latex_tree.parse(latex.tokenize(body))
  except latex_tree.MalformedError:
    return False
  return True


def _run(
    bodies: Sequence[str], programs: tuple[str, str], preamble: str, smooth: bool,
    folder: pathlib.Path,
) -> tuple[list[Image.Image], bool]:
  """The pages of one run, and whether TeX had nothing to complain of."""
  typesetter, rasteriser = programs
  pages = [_PAGES[typesetter] % body for body in bodies]
  source = "".join([_PREAMBLE, preamble, "\\begin{document}\n", *pages, "\\end{document}\n"])
  (folder / "f.tex").write_text(source, encoding="utf-8")
  seconds = _SECONDS + len(bodies)
  status = _call([typesetter, "-interaction=batchmode", "-no-shell-escape", "f.tex"], folder,
                 seconds)
  result = folder / ("f.dvi" if typesetter == "latex" else "f.pdf")
  if status is None or not result.exists():
    return [], False
  resolution = str(DOTS_PER_INCH)
  if rasteriser == "dvipng":
    command = ["dvipng", "-q", "-D", resolution, "-T", "tight", "-bg", "White", "--truecolor",
               "-o", "p%06d.png", "f.dvi"]
  else:
    gray = ["-aa", "yes", "-aaVector", "yes"] if smooth else ["-aa", "no", "-aaVector", "no"]
    command = ["pdftoppm", "-r", resolution, *gray, "f.pdf", "p"]
  if _call(command, folder, seconds) is None:
    return [], False
  pictures = []
  for path in sorted(folder.glob("p*.p[np][gm]")):
    with Image.open(path) as image:
      pictures.append(image.convert("RGB"))
  return pictures, status == 0


def _call(command: list[str], folder: pathlib.Path, seconds: float) -> int | None:
  """The exit status of a program; None where it ran for too long."""
  # Formulas may come from a model: TeX may read and write nothing outside its folder.
  environment = {**os.environ, "openin_any": "p", "openout_any": "p", "SOURCE_DATE_EPOCH": "0"}
  process = subprocess.Popen(
    command, cwd=folder, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  try:
    return process.wait(seconds)
  except subprocess.TimeoutExpired:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return None
