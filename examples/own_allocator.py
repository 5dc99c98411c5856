"""An allocator of one's own in `jcas compare`: between equal shares of the band per user and per group.

    jcas compare --quick --allocators equal,admm,own_allocator:Between

An allocator has one method: `solve(problem)` gets the known problem of a slot, of any number of lanes at once, and
returns a `Solution`; `act(observation)` or `decide(env, observation)` will do as well. Constraints are convex for a
grouping, so that a mean of feasible allocations is feasible.
"""

from jcas_baselines import EqualAllocation, Solution


class Between:
    """Mean of the two equal splits."""

    def solve(self, problem) -> Solution:
        """Allocation, and what the slot's utility would be if the known channel were the true one."""
        users, groups = (EqualAllocation(per=what).solve(problem).allocation for what in ("user", "group"))
        allocation = users._replace(
            power=(users.power + groups.power) / 2,
            bandwidth=(users.bandwidth + groups.bandwidth) / 2,
        )
        return Solution.unproven(allocation, problem.utility(allocation), {})
