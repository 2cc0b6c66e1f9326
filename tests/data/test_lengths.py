from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kerasuite.data.lengths import LengthPlan, rounded

LENGTHS = st.lists(st.integers(0, 200), min_size=1, max_size=120).map(np.array)
plans = st.builds(
    LengthPlan,
    LENGTHS,
    max_tokens=st.integers(1, 600),
    max_rows=st.integers(4, 32),
    seed=st.integers(0, 9),
    multiple=st.integers(1, 4),
)


@given(plans, st.integers(0, 5))
def test_an_epoch_has_every_row_once_at_weight_one(plan, epoch):
    indices, weights = (np.concatenate(parts) for parts in plan.epoch(epoch))
    assert sorted(indices[weights == 1].tolist()) == list(range(plan.num_rows))
    assert set(weights.tolist()) <= {0.0, 1.0}


@given(plans, st.integers(0, 5))
def test_every_epoch_has_as_many_steps_as_the_plan_says(plan, epoch):
    indices, weights = plan.epoch(epoch)
    assert len(indices) == len(weights) == plan.steps_per_epoch


@given(plans, st.integers(0, 5))
def test_a_batch_keeps_to_its_tokens_and_its_rows_but_for_what_fills_it_up(plan, epoch):
    for rows, weights in zip(*plan.epoch(epoch)):
        number = int(weights.sum())
        assert number <= plan.max_rows
        assert number == 1 or number * plan.lengths[rows].max() <= plan.max_tokens
        assert len(rows) % plan.multiple == 0
        assert len(rows) - number < plan.multiple


@given(plans, st.integers(0, 5))
def test_which_rows_stand_together_does_not_depend_on_how_a_batch_is_shared(plan, epoch):
    alone = replace(plan, multiple=1)
    for rows, weights, own in zip(*plan.epoch(epoch), alone.epoch(epoch)[0], strict=True):
        assert rows[weights == 1].tolist() == own.tolist()


def test_a_plan_depends_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(1, 40, 300)
    orders = lambda seed, epoch: [rows.tolist() for rows in LengthPlan(lengths, 256, 64, seed).epoch(epoch)[0]]  # noqa: E731
    assert orders(1, 2) == orders(1, 2)
    assert orders(1, 2) != orders(1, 3) != orders(2, 3)


def test_rows_of_one_length_meet_others_in_each_epoch():
    plan = LengthPlan(np.full(64, 8), max_tokens=64, max_rows=8, seed=0)
    first, second = ([frozenset(rows.tolist()) for rows in plan.epoch(epoch)[0]] for epoch in (0, 1))
    assert not set(first) & set(second)


def test_little_of_a_batch_is_padding():
    lengths = np.random.default_rng(0).integers(8, 128, 5000)
    plan = LengthPlan(lengths, max_tokens=2048, max_rows=256, seed=0)
    padded = sum(len(rows) * lengths[rows].max() for rows in plan.epoch(0)[0])
    assert padded < 1.12 * lengths.sum()


def test_rounding_adds_at_most_an_eighth_or_one():
    lengths = np.arange(1, 2000)
    added = rounded(lengths) - lengths
    assert added.min() == 0
    assert np.all(added <= np.maximum(lengths / 8, 1))


def test_rows_may_count_unlike_and_fillers_never_count():
    lengths = np.array([3, 3, 3])
    plan = LengthPlan(lengths, 100, 100, seed=0, multiple=2, row_weights=np.array([2.0, 5.0, 7.0]))
    (rows,), (weights,) = plan.epoch(0)
    assert sorted(zip(rows[:3].tolist(), weights[:3].tolist())) == [(0, 2.0), (1, 5.0), (2, 7.0)]
    assert weights[3:].tolist() == [0]
