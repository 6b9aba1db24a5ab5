"""Formulas drawn by TeX as the published pictures were: 12 points, display style, 200 dpi.

Their integrals, sums and large brackets are those of cmex10, as without `amsfonts`.

A formula is another's program: it is run without shell escape, may open no file outside its own
directory and TeX's, and is stopped when it takes too long.
"""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.builders.ink import crop, halve, ink
from data_pipelines.datasets import SourceError

DPI = 200
MARGIN = 8  # pixels at DPI, halved with the rest
BOLD = 2  # pixels that ink is widened by, less one: else it is paler than the published pictures'
SECONDS = 30.0  # that one program may take
PROGRAMS = (("latex", "dvipng"), ("pdflatex", "pdftoppm"))
INSTALL = "apt-get install texlive-latex-base texlive-latex-extra dvipng (or poppler-utils)"

_PAGE = r"""\documentclass[12pt]{article}
\usepackage{amsmath,amssymb}
\DeclareFontShape{OMX}{cmex}{m}{n}{<-> sfixed * cmex10}{}
\pagestyle{empty}
%s
\begin{document}
\begin{displaymath}
%s
\end{displaymath}
\end{document}
"""
_WIDE = r"\pdfpagewidth=400mm \pdfpageheight=200mm"  # DVI has no page that could cut a formula
_LIMITS = {"openin_any": "p", "openout_any": "p", "shell_escape": "f"}


class TexError(ValueError):
  """A formula that TeX cannot draw; the text says why."""


@functools.cache
def programs() -> tuple[str, str]:
  """The pair of programs that is installed, `latex` and `dvipng` before the other.

  Raises:
    SourceError: neither is; says what to install.
  """
  for pair in PROGRAMS:
    if all(map(shutil.which, pair)):
      return pair
  wanted = " nor ".join(" and ".join(pair) for pair in PROGRAMS)
  raise SourceError(f"drawing formulas needs TeX, but neither {wanted} are installed: {INSTALL}")


def draw(formula: str, pair: tuple[str, str] | None = None) -> UInt8[np.ndarray, "H W"]:
  """White ink on black, tight but for a margin, at half of `DPI` (im2markup's preprocessing).

  Args:
    formula: LaTeX of a display.
    pair: of `PROGRAMS`; None takes what is installed.

  Raises:
    TexError: TeX refuses it, takes too long, or draws nothing.
    SourceError: TeX is not installed.
  """
  pair = pair or programs()
  with tempfile.TemporaryDirectory(prefix="formula-") as name:
    directory = pathlib.Path(name)
    to_pdf = pair[0] == "pdflatex"
    source = _PAGE % (_WIDE if to_pdf else "", _with_whole_lengths(formula))
    (directory / "f.tex").write_text(source, encoding="utf-8")
    code = _run(directory, pair[0], "-no-shell-escape", "-interaction=nonstopmode",
                "-halt-on-error", "f.tex")
    if code:
      raise TexError(_complaint(directory / "f.log", pair[0]))
    if to_pdf:
      code = _run(directory, "pdftoppm", "-r", f"{DPI}", "-gray", "-png", "-singlefile",
                  "f.pdf", "f")
    else:
      code = _run(directory, "dvipng", "-q", "-D", f"{DPI}", "-T", "tight", "-bg", "White",
                  "--nogs", "--norawps", "-pp", "1", "-o", "f.png", "f.dvi")
    if code or not (directory / "f.png").exists():
      raise TexError(f"{pair[1]} makes no picture of what {pair[0]} wrote")
    picture = ink((directory / "f.png").read_bytes(), paper="light")
  bold = cv2.dilate(picture, np.ones((BOLD, BOLD), np.uint8))
  try:
    return halve(crop(bold, MARGIN))
  except ValueError:
    raise TexError("TeX draws nothing") from None


def _with_whole_lengths(formula: str) -> str:
  r"""Lengths as TeX can read them: normalised formulas have `\hspace { 1 . 0 c m }`."""
  whole = lambda match: match[1] + re.sub(r"[\s~]", "", match[2])
  return re.sub(r"(\\(?:hspace|vspace|rule|raisebox)\b\s*\*?)((?:\s*\{[^{}]*\})+)", whole, formula)


def _run(directory: pathlib.Path, *command: str) -> int:
  try:
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **_LIMITS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=SECONDS,
    )
  except subprocess.TimeoutExpired:
    raise TexError(f"{command[0]} takes more than {SECONDS:.0f} s") from None
  return done.returncode


def _complaint(log: pathlib.Path, program: str) -> str:
  """The first error in TeX's log, with the line of the formula that it stopped at."""
  lines = log.read_text("latin-1").splitlines() if log.exists() else []
  for number, line in enumerate(lines):
    if line.startswith("!"):
      at = next((x.strip() for x in lines[number:] if x.startswith("l.")), "")
      return f"{line.removeprefix('! ')} {at}".strip()
  return f"{program} fails without saying why"
