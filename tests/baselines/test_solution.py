"""What every solver returns."""

from __future__ import annotations

import numpy as np
from jcas_baselines import Solution

from jcas_env import RelaxedAllocation, Status


def test_struck_elements_are_infeasible_and_nan_but_for_the_figures_that_say_why(backend):
    lost = backend.asarray(np.array([False, True]))
    ones = backend.asarray(np.ones((2, 3)))
    solution = Solution(
        RelaxedAllocation(ones, ones),
        ones[:, 0],
        ones[:, 1],
        backend.asarray(np.full(2, int(Status.OPTIMAL))),
        backend.asarray(np.array([4, 5])),
        {"share": ones, "least_share": ones[:, 0]},
    ).struck(lost, "share")
    for value in (*solution.allocation, solution.details["share"]):
        np.testing.assert_array_equal(np.isnan(backend.numpy(value)), [[False] * 3, [True] * 3])
    for value in (solution.objective, solution.bound):
        np.testing.assert_array_equal(np.isnan(backend.numpy(value)), [False, True])
    np.testing.assert_array_equal(backend.numpy(solution.details["least_share"]), [1.0, 1.0])
    np.testing.assert_array_equal(backend.numpy(solution.status), [Status.OPTIMAL, Status.INFEASIBLE])
    np.testing.assert_array_equal(backend.numpy(solution.iterations), [4, 5])
