"""Plans: every record once, at a shape that holds it, the same on every host."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines import pipeline
from data_pipelines.batching import (
    Bucket,
    Options,
    Plan,
    assign,
    batch_size,
    choose_buckets,
)


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Sizes and lengths of `n` records that spread as those of formulas do: most are small."""
  draw = np.random.default_rng(seed)
  sides = np.exp(draw.normal((3.5, 4.5), 0.5, (n, 2))).astype(np.int32) + 1
  return sides, draw.integers(1, 40, n).astype(np.int32)


def records_of(plan: Plan, epoch: int) -> list[int]:
  steps = range(plan.starts[epoch], plan.starts[epoch + 1])
  return [int(r) for s in steps for r in plan[s].records if r >= 0]


def same(a, b) -> bool:
  return a.bucket == b.bucket and (a.records == b.records).all() and (a.sizes == b.sizes).all()


options = st.builds(
    Options,
    batch=st.sampled_from([4, 8, 20]),
    max_pixels=st.sampled_from([0, 20_000]),
    multiple=st.sampled_from([1, 2, 4]),
    max_buckets=st.integers(1, 5),
    scale=st.sampled_from([0.5, 1.0]),
    scale_range=st.sampled_from([(1.0, 1.0), (0.7, 1.4)]),
    max_area=st.sampled_from([4000, 320_000]),
    max_tokens=st.sampled_from([20, 200]),
)


@given(options, st.integers(1, 90), st.booleans(), st.integers(0, 5))
def test_every_kept_record_once_an_epoch_in_a_bucket_that_holds_it(o, n, train, seed):
  sizes, lengths = made(n, seed)
  kept = np.flatnonzero((sizes.prod(1) <= o.max_area) & (lengths <= o.max_tokens))
  if not len(kept):
    with pytest.raises(ValueError, match="no records to choose buckets for"):
      Plan(sizes, lengths, o, train=train, seed=seed)
    return
  plan = Plan(sizes, lengths, o, train=train, seed=seed, epochs=2)
  assert len(plan.buckets) <= o.max_buckets
  assert sorted([*plan.records, *plan.dropped]) == list(range(n))
  for epoch in range(2):
    assert sorted(records_of(plan, epoch)) == kept.tolist()
  for step in range(len(plan)):
    batch = plan[step]
    assert batch.bucket in plan.buckets
    assert len(batch.records) == batch_size(batch.bucket, o)
    assert len(batch.records) % o.multiple == 0
    real = batch.records >= 0
    assert real.any() and (batch.records[~real] == -1).all() and not batch.sizes[~real].any()
    assert (batch.sizes[real] >= 1).all()
    assert (batch.sizes <= [batch.bucket.height, batch.bucket.width]).all()
    assert (lengths[batch.records[real]] <= batch.bucket.length).all()


@given(options, st.integers(0, 5))
def test_a_plan_is_a_function_of_its_arguments_and_addressed_by_step(o, seed):
  sizes, lengths = made(60)
  plan, again = (Plan(sizes, lengths, o, train=True, seed=seed, epochs=3) for _ in range(2))
  in_order = [plan[step] for step in range(len(plan))]
  for step in np.random.default_rng(seed).permutation(len(plan)):  # jumps between the epochs
    assert same(again[step], in_order[step])
    assert again.epoch(step) == np.searchsorted(again.starts[1:], step, side="right")


def test_epochs_and_seeds_have_other_orders_and_other_mates():
  sizes, lengths = made(60)
  o = Options(batch=8, max_buckets=3)
  plan = Plan(sizes, lengths, o, train=True, seed=0, epochs=2)
  other = Plan(sizes, lengths, o, train=True, seed=1, epochs=1)
  orders = [records_of(plan, 0), records_of(plan, 1), records_of(other, 0)]
  assert orders[0] != orders[1] != orders[2] != orders[0]
  mates = lambda p, e: {frozenset(p[s].records) for s in range(p.starts[e], p.starts[e + 1])}
  assert mates(plan, 0) != mates(plan, 1)
  # The first epochs of a longer plan are those of a shorter one.
  longer = Plan(sizes, lengths, o, train=True, seed=0, epochs=5)
  assert all(same(plan[s], longer[s]) for s in range(len(plan)))


def test_evaluation_plans_go_by_size_and_are_not_random():
  sizes, lengths = made(40)
  o = Options(batch=8, max_buckets=1, scale_range=(0.5, 2.0))
  plan = Plan(sizes, lengths, o, train=False, seed=0)
  assert records_of(plan, 0) == records_of(Plan(sizes, lengths, o, train=False, seed=9), 0)
  widths = [w for s in range(len(plan)) for w in plan[s].sizes[plan[s].records >= 0, 1]]
  assert widths == sorted(widths)


def test_a_step_outside_the_plan_is_refused():
  plan = Plan(*made(10), Options(batch=4), train=True)
  for step in (-1, len(plan)):
    with pytest.raises(IndexError, match=f"step {step} of a plan of {len(plan)} steps"):
      plan[step]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_rows_of_all_processes_join_to_the_batch_of_one(count):
  sizes, lengths = made(30)
  plan = Plan(sizes, lengths, Options(batch=8, multiple=4), train=True, epochs=2)
  draw = np.random.default_rng(0)
  held = [draw.integers(0, 255, s, dtype=np.uint8) for s in sizes]
  records = pipeline.Records(source=None, ids=[str(i) for i in range(30)], held=held)
  tokens = [list(draw.integers(3, 9, n)) for n in lengths]
  whole = pipeline.LoadBatch(records, tokens, 0, 1)
  parts = [pipeline.LoadBatch(records, tokens, p, count) for p in range(count)]
  for step in (0, len(plan) - 1):
    joined = [part.map(plan[step]) for part in parts]
    for name, array in whole.map(plan[step]).items():
      np.testing.assert_array_equal(np.concatenate([j[name] for j in joined]), array)


def test_records_over_the_limits_are_dropped():
  sizes = np.array([[10, 10], [100, 41], [100, 40], [20, 20], [60_000, 60_000]], np.int32)
  lengths = np.array([5, 5, 5, 21, 1], np.int32)
  plan = Plan(sizes, lengths, Options(batch=2, max_area=4000, max_tokens=20), train=True)
  assert plan.records.tolist() == [0, 2]
  assert plan.dropped.tolist() == [1, 3, 4]  # the last one's area does not fit in 32 bits


@pytest.mark.parametrize(
    ("batch", "multiple", "use"), [(100, 8, "96 or 104"), (3, 8, "8"), (9, 2, "8 or 10")]
)
def test_a_batch_that_cannot_be_cut_names_its_neighbours(batch, multiple, use):
  o = Options(batch=batch, multiple=multiple)
  message = f"batch {batch} is not a multiple of {multiple} .*; use {use}$"
  with pytest.raises(ValueError, match=message):
    Plan(*made(10), o, train=True)


@pytest.mark.parametrize(
    ("max_pixels", "size"), [(0, 32), (64 * 64 * 100, 32), (64 * 64 * 15, 12), (64, 4)]
)
def test_wide_buckets_take_fewer_pictures(max_pixels, size):
  o = Options(batch=32, max_pixels=max_pixels, multiple=4)
  assert batch_size(Bucket(64, 64, 8), o) == size


def test_random_sizes_depend_on_seed_epoch_and_record_alone():
  sizes, lengths = made(50)

  def drawn(limit, seed=0, epoch=0):
    o = Options(batch=8, scale_range=(0.7, 1.4), max_tokens=limit)
    plan = Plan(sizes, lengths, o, train=True, seed=seed, epochs=2)
    steps = range(plan.starts[epoch], plan.starts[epoch + 1])
    rows = [(r, s) for step in steps for r, s in zip(plan[step].records, plan[step].sizes)]
    return {int(r): tuple(map(int, s)) for r, s in rows if r >= 0}

  first = drawn(40)
  assert first == drawn(40)
  few = drawn(20)  # a record's size does not depend on which others are kept
  assert 0 < len(few) < len(first) and few.items() <= first.items()
  assert first != drawn(40, seed=1) and first != drawn(40, epoch=1)
  factors = np.array([np.array(first[r]) / sizes[r] for r in first])
  large = sizes.min(1) >= 40  # rounding to whole pixels moves small ones beyond the range
  assert factors[large].min() > 0.68 and factors[large].max() < 1.42
  assert np.ptp(factors[large]) > 0.4


@given(st.integers(1, 60), st.integers(1, 6), st.sampled_from([8, 16, 32]), st.integers(0, 9))
def test_chosen_buckets_are_few_and_hold_all(n, most, align, seed):
  sizes, lengths = made(n, seed)
  buckets = choose_buckets(sizes, lengths, most, align)
  assert 1 <= len(buckets) <= most
  assert all(b.height % align == 0 == b.width % align and b.length % 8 == 0 for b in buckets)
  chosen = assign(sizes, lengths, buckets)
  assert (chosen >= 0).all()
  (single,) = choose_buckets(sizes, lengths, 1, align)
  assert sum(buckets[i].cost for i in chosen) <= n * single.cost
  # Each record goes to the cheapest that holds it.
  for i in np.random.default_rng(seed).integers(0, n, 3):
    fits = [
        b for b in buckets
        if (sizes[i] <= (b.height, b.width)).all() and lengths[i] <= b.length
    ]  # fmt: skip
    assert buckets[chosen[i]].cost == min(b.cost for b in fits)


def test_padding_falls_with_more_buckets():
  sizes, lengths = made(2000)  # more distinct shapes than the search takes one by one
  waste = []
  for most in (1, 2, 4, 8):
    o = Options(batch=8, max_buckets=most, high=(1024, 2560), low=(1, 1))
    waste.append(Plan(sizes, lengths, o, train=False).padding_waste())
  assert waste == sorted(waste, reverse=True)
  assert waste[0] > 0.9 and waste[-1] < 0.6


def test_padding_waste_is_that_of_the_canvases():
  sizes = np.array([[16, 16], [16, 32], [32, 32]], np.int32)
  plan = Plan(sizes, np.ones(3, np.int32), Options(batch=2, max_buckets=1), train=False)
  assert plan.buckets == [Bucket(32, 32, 8)]
  assert plan.padding_waste() == 1 - (16 * 16 + 16 * 32 + 32 * 32) / (4 * 32 * 32)


def test_given_buckets_get_one_more_for_what_they_do_not_hold():
  sizes = np.array([[16, 16], [50, 20]], np.int32)
  given = Bucket(32, 32, 8)
  plan = Plan(sizes, np.full(2, 3), Options(batch=1), train=False, buckets=[given])
  assert plan.buckets == [given, Bucket(64, 32, 8)]
  assert [b.bucket for b in map(plan.__getitem__, range(2))] == plan.buckets
  small = Plan(sizes[:1], np.full(1, 3), Options(batch=1), train=False, buckets=[given])
  assert small.buckets == [given]
