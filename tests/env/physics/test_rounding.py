"""Largest remainder: by hand, against a loop, and what it promises."""

from __future__ import annotations

from math import floor

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jcas_env.physics.rounding import largest_remainder


def by_loop(quota, label):
    """One after the other: whole parts, then one each in the order of the remainders."""
    counts = [floor(q + 1e-12) for q in quota]
    for name in set(label):
        items = [i for i, mine in enumerate(label) if mine == name]
        missing = round(sum(quota[i] for i in items)) - sum(counts[i] for i in items)
        for i in sorted(items, key=lambda i: counts[i] - quota[i])[:missing]:
            counts[i] += 1
    return counts


def test_two_sets_by_hand(backend):
    """{2.6, 1.4} sum to 4: one is missing and goes to .6. {0.5, 1.5, 3} sum to 5: one is missing, a tie, the first."""
    quota, label = np.array([2.6, 0.5, 1.4, 1.5, 3.0]), np.array([0, 1, 0, 1, 1])
    total = np.where(label == 0, 4.0, 5.0)
    rivals = label[:, None] == label[None, :]
    got = largest_remainder(*(backend.asarray(part) for part in (quota, total, rivals)))
    np.testing.assert_array_equal(backend.numpy(got), [3, 1, 1, 1, 3])


def test_one_set_in_single_precision(backend):
    """A quota that rounding has left just below a whole number counts as that number."""
    quota = np.array([[0.25, 0.75, 3.0], [4.0 - 2.4e-7, 1.0, 1.0]], dtype=np.float32)
    got = backend.numpy(largest_remainder(backend.asarray(quota), backend.asarray(np.float32([[4], [6]]))))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [[0, 1, 3], [4, 1, 1]])


@settings(max_examples=200, deadline=None)
@given(
    weight=st.lists(st.integers(0, 50), min_size=8, max_size=8),
    label=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    total=st.integers(0, 40),
)
def test_sums_are_kept_and_a_loop_gives_the_same(weight, label, total):
    weight, label = np.asarray(weight) + 0.5, np.asarray(label)
    rivals = label[:, None] == label
    quota = total * weight / (rivals @ weight)
    got = largest_remainder(quota, float(total), rivals)
    np.testing.assert_array_equal(rivals @ got, np.full(8, total))
    assert np.abs(got - quota).max() < 1.0
    np.testing.assert_array_equal(got, by_loop(quota.tolist(), label.tolist()))


def test_all_in_one_set_need_no_mask(rng):
    quota = rng.dirichlet(np.ones(9), size=50) * 31
    np.testing.assert_array_equal(
        largest_remainder(quota, 31), largest_remainder(quota, 31, np.ones((9, 9), dtype=bool))
    )
