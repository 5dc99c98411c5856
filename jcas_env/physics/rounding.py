"""Rounding to whole numbers that keep a total."""

from __future__ import annotations

from ..types import Array, array_namespace, device


def largest_remainder(quota: Array, total: Array | int, rivals: Array | None = None, /) -> Array:
    r"""Round the quotas of disjoint sets to whole numbers by the method of the largest remainder.

    Every quota is rounded down; what is then missing from the total N of its set s goes one each to the largest
    remainders, ties to the lower index:

    .. math:: n_i = \lfloor q_i \rfloor + \Big[\mathrm{rank}_s(q_i - \lfloor q_i \rfloor) <
              N_s - \sum_{k \in s} \lfloor q_k \rfloor\Big]

    Parameters
    ----------
    quota : Array, shape (..., items)
        q, not negative [-].
    total : Array, shape (..., items) or (..., 1), or int
        N of each item's set, whole: what the quotas of the set sum to, but for rounding [-].
    rivals : Array, shape (..., items, items), bool, or None
        Which items (last axis) form the set of an item; None: all are in one.

    Returns
    -------
    Array, shape (..., items)
        Whole numbers in the precision of ``quota`` that sum to N exactly [-] (spec multicell 0, spec mesh 6).
    """
    xp = array_namespace(quota)
    whole = xp.floor(quota * (1.0 + 4.0 * float(xp.finfo(quota.dtype).eps)))  # 3.9999... is 4 in disguise
    remainder = quota - whole
    if rivals is None:
        given = xp.sum(whole, axis=-1, keepdims=True)
        order = xp.argsort(remainder, axis=-1, descending=True, stable=True)
        rank = xp.argsort(order, axis=-1, stable=True)
    else:
        given = (xp.astype(rivals, quota.dtype) @ whole[..., None])[..., 0]
        index = xp.arange(quota.shape[-1], device=device(quota))
        mine, theirs = remainder[..., :, None], remainder[..., None, :]
        ahead = (theirs > mine) | ((theirs == mine) & (index[None, :] < index[:, None]))
        rank = xp.sum(xp.astype(rivals & ahead, quota.dtype), axis=-1)
    return whole + xp.astype(xp.astype(rank, quota.dtype) < total - given - 0.5, quota.dtype)
