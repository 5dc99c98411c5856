"""Elements leave a batch and come back in order; batch axes become one and many again."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from jcas_env import batching
from jcas_env.batching import blocks, gather, indices, joined, reassemble, retire, rows, scatter, unrows


class Pair(NamedTuple):
    one: Any
    two: Any


class Nest(NamedTuple):
    pair: Pair
    nothing: Any
    label: Any


def nest(backend, batch=(5,)):
    size = int(np.prod(batch))
    one = np.arange(3.0 * size).reshape(*batch, 3)
    two, label = one[..., 0] ** 2, np.arange(size).reshape(batch)
    return Nest(Pair(backend.asarray(one), backend.asarray(two)), None, backend.asarray(label))


def equal(backend, one, two):
    for a, b in zip((*one.pair, one.label), (*two.pair, two.label), strict=True):
        np.testing.assert_array_equal(backend.numpy(a), backend.numpy(b))
    assert one.nothing is None
    assert two.nothing is None


def test_gather_takes_elements_and_scatter_puts_them_back(backend):
    tree, mask = nest(backend), backend.asarray(np.array([True, False, False, True, True]))
    some = gather(tree, indices(mask))
    np.testing.assert_array_equal(backend.numpy(some.label), [0, 3, 4])
    assert some.nothing is None
    equal(backend, scatter(tree, mask, some), tree)
    others = some._replace(label=some.label + 100)
    np.testing.assert_array_equal(backend.numpy(scatter(tree, mask, others).label), [100, 1, 2, 103, 104])


def test_blocks_are_joined_to_the_same_tree(backend, monkeypatch):
    monkeypatch.setattr(batching, "BLOCK", 2)
    parts = blocks(nest(backend), 5)
    assert [int(part.label.shape[0]) for part in parts] == [2, 2, 1]
    equal(backend, joined(parts), nest(backend))


def test_a_loop_whose_elements_stop_on_their_own_gives_them_back_in_order(backend):
    """Element k counts to 4 - k or 2, whichever is more, so that several leave at once and the last ones first."""
    tree = nest(backend)
    index, goal, count, pieces = tree.label, backend.asarray(np.array([4, 3, 2, 2, 2])), 0, []
    while index.shape[0]:
        count += 1
        (left, done), (index, tree, goal) = retire(goal <= count, (index, tree), goal)
        pieces.append((left, Pair(done, left * 0 + count)))
    back = reassemble([piece for _, piece in pieces], [left for left, _ in pieces])
    equal(backend, back.one, nest(backend))
    np.testing.assert_array_equal(backend.numpy(back.two), [4, 3, 2, 2, 2])


@pytest.mark.parametrize("batch", [(), (4,), (2, 3), (2, 0)])
def test_rows_lay_all_batch_axes_in_one_and_back(backend, batch):
    tree = nest(backend, batch)._replace(nothing=backend.asarray(np.zeros((*batch, 0))))
    flat = rows(tree, batch)
    elements = int(np.prod(batch))
    assert [tuple(leaf.shape) for leaf in (*flat.pair, flat.nothing)] == [(elements, 3), (elements,), (elements, 0)]
    again = unrows(flat, batch)
    for one, two in zip((*tree.pair, tree.nothing, tree.label), (*again.pair, again.nothing, again.label), strict=True):
        assert tuple(one.shape) == tuple(two.shape)
        np.testing.assert_array_equal(backend.numpy(one), backend.numpy(two))


def test_rows_broadcast_what_has_axes_of_its_own(backend):
    """(3,) for each of 2 x 2 elements, and one number for each."""
    own = rows(backend.asarray(np.array([1.0, 2.0, 3.0])), (2, 2), 1)
    np.testing.assert_array_equal(backend.numpy(own), [[1, 2, 3]] * 4)
    number = rows(backend.asarray(np.array([1.0, 2.0])), (3, 2), 0)
    np.testing.assert_array_equal(backend.numpy(number), [1, 2, 1, 2, 1, 2])


@pytest.mark.parametrize("shapes", [((7, 3, 4), (7, 4, 5)), ((2, 1, 3, 4), (6, 4, 1)), ((4, 20, 4), (4, 4, 20))])
def test_what_a_device_writes_out_of_a_product_is_the_product(backend, shapes, monkeypatch):
    rng = np.random.default_rng(0)
    one, two = (rng.normal(size=(2, *shape)) for shape in shapes)
    one, two = one[0] + 1j * one[1], two[0] + 1j * two[1]
    monkeypatch.setattr(batching, "at_hand", lambda _: False)
    found = backend.numpy(batching.small_product(backend.asarray(one), backend.asarray(two)))
    np.testing.assert_allclose(found, one @ two, rtol=1e-13, atol=1e-13)


def test_a_device_works_on_more_at_a_time():
    torch = pytest.importorskip("torch")
    there = torch.empty(batching.BLOCK * batching.WIDER + 1, device="meta")
    assert [len(part) for part in blocks(there, len(there))] == [batching.BLOCK * batching.WIDER, 1]
