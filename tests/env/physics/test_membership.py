"""Who shares cell and group, against loops and numbers by hand, in every array library."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from jcas_env.physics.membership import Membership, canonical_groups

CELL = np.array([2, 0, 0, 2, 0, 2])
GROUP = np.array([5, 1, 0, 3, 1, 5])
"""Three cells, the middle one without users; labels as they come."""


def membership(backend, cell=CELL, group=GROUP, cells=3):
    cell = backend.asarray(cell)
    return Membership(cell, backend.asarray(group), cells, array_namespace(cell).float64)


class TestSizes:
    def test_sizes_and_counts_by_hand(self, backend):
        known = membership(backend, np.array([0, 0, 0, 1, 1]), np.array([0, 1, 0, 0, 0]), 2)
        np.testing.assert_array_equal(backend.numpy(known.group_size), [2, 1, 2, 2, 2])
        np.testing.assert_array_equal(backend.numpy(known.groups), [2, 2, 2, 1, 1])
        np.testing.assert_array_equal(backend.numpy(known.crowd), [3, 3, 3, 2, 2])

    def test_pairs_against_loops(self, backend):
        same = [[a == b for b in CELL] for a in CELL]
        mates = [[same[i][j] and GROUP[i] == GROUP[j] for j in range(6)] for i in range(6)]
        np.testing.assert_array_equal(backend.numpy(membership(backend).same_cell), same)
        np.testing.assert_array_equal(backend.numpy(membership(backend).mates), mates)

    def test_labels_of_different_cells_have_nothing_in_common(self, backend):
        apart = membership(backend, group=np.zeros(6, dtype=int))
        np.testing.assert_array_equal(backend.numpy(apart.groups), 1)
        np.testing.assert_array_equal(backend.numpy(apart.group_size), 3)

    def test_other_groups_leave_the_cells(self, backend):
        known = membership(backend)
        assert known.regrouped(known.group) is known
        other = known.regrouped(known.cell)
        np.testing.assert_array_equal(backend.numpy(other.group_size), 3)
        np.testing.assert_array_equal(backend.numpy(other.crowd), backend.numpy(known.crowd))


class TestNumbersOfCells:
    def test_a_sum_by_cell_is_zero_where_nobody_is_served(self, backend):
        value = backend.asarray(np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]))
        np.testing.assert_array_equal(backend.numpy(membership(backend).cell_sum(value)), [22.0, 0.0, 41.0])

    def test_each_user_gets_the_number_of_its_cell(self, backend):
        lanes = backend.asarray(np.array([[10.0, 20.0, 30.0], [1.0, 2.0, 3.0]]))
        expected = [[30, 10, 10, 30, 10, 30], [3, 1, 1, 3, 1, 3]]
        np.testing.assert_array_equal(backend.numpy(membership(backend).of_cell(lanes)), expected)


class TestSeats:
    def test_users_sit_in_index_order_in_the_row_of_their_cell(self, backend):
        known = membership(backend)
        np.testing.assert_array_equal(backend.numpy(known.taken), [[True] * 3, [False] * 3, [True] * 3])
        np.testing.assert_array_equal(backend.numpy(known.seat), [[1, 2, 4], [0, 0, 0], [0, 3, 5]])
        np.testing.assert_array_equal(backend.numpy(known.place), [6, 0, 1, 7, 2, 8])

    def test_scatter_undoes_gather_in_lanes_of_different_sizes(self, backend, rng):
        cell = rng.integers(0, 3, (4, 6))
        known = membership(backend, cell, np.zeros_like(cell))
        value = rng.normal(size=(5, 4, 6))  # one more leading axis than the labels have
        there = known.gather(backend.asarray(value))
        assert there.shape[:3] == (5, 4, 3)
        np.testing.assert_array_equal(backend.numpy(known.scatter(there)), value)

    def test_labels_without_lanes_serve_values_with_lanes(self, backend, rng):
        value = rng.normal(size=(4, 6))
        rows = backend.numpy(membership(backend).gather(backend.asarray(value)))
        np.testing.assert_array_equal(rows[:, 2], value[:, [0, 3, 5]])


class TestCanonicalOrder:
    def test_labels_count_up_in_order_of_first_appearance(self, backend):
        label = backend.asarray(np.array([[7, 2, 7, -1], [4, 4, 4, 4]]))
        groups = canonical_groups(label, dtype=array_namespace(label).float64)
        np.testing.assert_array_equal(backend.numpy(groups.label), [[0, 1, 0, -1], [0, 0, 0, 0]])
        np.testing.assert_array_equal(backend.numpy(groups.size), [[2, 1], [4, 0]])
        np.testing.assert_array_equal(backend.numpy(groups.count), [2, 1])
        np.testing.assert_array_equal(backend.numpy(groups.users), [3, 4])

    def test_groups_of_every_cell_by_hand(self, backend):
        groups = membership(backend).by_cell
        np.testing.assert_array_equal(backend.numpy(groups.label), [[0, 1, 0], [-1] * 3, [0, 1, 0]])
        np.testing.assert_array_equal(backend.numpy(groups.size), [[2, 1], [0, 0], [2, 1]])

    def test_sums_by_group_and_back(self, backend):
        groups = membership(backend).by_cell
        seated = membership(backend).gather(backend.asarray(np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])))
        total = groups.total(seated)
        np.testing.assert_array_equal(backend.numpy(total), [[18, 4], [0, 0], [33, 8]])
        np.testing.assert_array_equal(backend.numpy(groups.spread(total)), [[18, 4, 18], [0, 0, 0], [33, 8, 33]])
