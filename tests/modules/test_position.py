"""Positions against their formulas, cell by cell."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from mmjax.modules.position import cell_positions, word_positions


def test_word_positions():
  length, width = 30, 12
  ours = np.asarray(word_positions(length, width))
  for p in range(length):
    for i in range(width // 2):
      angle = p / 10000 ** (2 * i / width)
      assert ours[p, 2 * i] == pytest.approx(math.sin(angle), abs=1e-5)
      assert ours[p, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-5)


def expected(position, channel, half, paired):
  """BTTR: every channel its own frequency; CoMER: sin and cos share one."""
  exponent = 2 * (channel // 2) if paired else channel
  rate = 10000 ** (-exponent / half)
  return (math.sin if channel % 2 == 0 else math.cos)(position * rate)


@pytest.mark.parametrize("paired", [False, True])
def test_cell_positions(paired):
  valid = np.zeros((3, 4, 7), bool)
  valid[0, :3, :5] = True
  valid[1] = True  # the third picture is filler: nothing valid
  width, half = 16, 8
  ours = np.asarray(cell_positions(jnp.asarray(valid), width, paired=paired))
  assert ours.shape == (3, 4, 7, width)
  for b, (h, w) in enumerate([(3, 5), (4, 7)]):
    for i in range(h):
      for j in range(w):
        x, y = 2 * math.pi * (j + 1) / (w + 1e-6), 2 * math.pi * (i + 1) / (h + 1e-6)
        for c in range(half):
          assert ours[b, i, j, c] == pytest.approx(expected(x, c, half, paired), abs=1e-5)
          assert ours[b, i, j, half + c] == pytest.approx(expected(y, c, half, paired), abs=1e-5)
  np.testing.assert_array_equal(ours[2, ..., 0::2], 0)  # sin 0
  np.testing.assert_array_equal(ours[2, ..., 1::2], 1)  # cos 0


def test_the_two_variants_differ():
  valid = jnp.ones((1, 2, 2), bool)
  bttr, comer = (np.asarray(cell_positions(valid, 16, paired=p)) for p in (False, True))
  assert np.abs(bttr - comer).max() > 0.1


def test_cells_have_the_same_position_on_a_larger_canvas():
  large = np.zeros((1, 5, 9), bool)
  large[:, :3, :4] = True
  tight = cell_positions(jnp.ones((1, 3, 4), bool), 8, paired=False)
  ours = cell_positions(jnp.asarray(large), 8, paired=False)
  np.testing.assert_allclose(ours[:, :3, :4], tight, atol=1e-6)


def test_rows_first_swaps_the_halves():
  valid = jnp.ones((1, 3, 5), bool)
  x, y = jnp.split(cell_positions(valid, 12, paired=True), 2, -1)
  swapped = cell_positions(valid, 12, paired=True, rows_first=True)
  np.testing.assert_array_equal(swapped, jnp.concatenate([y, x], -1))
