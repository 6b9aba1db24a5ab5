"""The live line of a training run, and the times behind it."""

import sys
import time


class Progress:
  """Counts pictures, waiting and steps between two reports."""

  def __init__(self, total_steps: int, *, active: bool):
    self._total, self._active = total_steps, active
    self._live = sys.stderr.isatty()
    self.reset()

  def reset(self) -> None:
    """Starts a new interval: evaluation and checkpoints in between do not count."""
    self._since = time.perf_counter()
    self._waited = 0.0
    self._pictures = self._steps = 0
    self._pixels = self._canvas = 0

  def waited(self, seconds: float) -> None:
    """Adds time that the step stood waiting for its input."""
    self._waited += seconds

  def batch(self, pictures: int, pixels: int, canvas: int) -> None:
    """Adds a step: real pictures, their pixels, and pixels computed."""
    self._steps += 1
    self._pictures += pictures
    self._pixels += pixels
    self._canvas += canvas

  def rates(self) -> dict[str, float]:
    """Means of the interval."""
    seconds = max(time.perf_counter() - self._since, 1e-9)
    return {
        "step_seconds": seconds / max(self._steps, 1),
        "images_per_second": self._pictures / seconds,
        "padding_waste": 1 - self._pixels / max(self._canvas, 1),
        "input_wait": self._waited / seconds,
    }

  def show(self, step: int, epoch: float, loss: float, rates: dict[str, float]) -> None:
    """Prints the line, over the last one on a terminal."""
    if not self._active:
      return
    left = int(rates["step_seconds"] * (self._total - step))
    eta = f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d}"
    line = (
        f"step {step}/{self._total} (epoch {epoch:.1f})  loss {loss:.4f}"
        f"  {rates['step_seconds']:.3f} s/step  {rates['images_per_second']:.0f} images/s"
        f"  padding {rates['padding_waste']:.0%}  input wait {rates['input_wait']:.0%}  ETA {eta}"
    )
    print("\r\033[K" + line if self._live else line, end="" if self._live else "\n",
          file=sys.stderr, flush=True)  # fmt: skip

  def say(self, text: str) -> None:
    """Prints a line that stays."""
    if self._active:
      print(("\n" if self._live else "") + text, file=sys.stderr, flush=True)
