"""Speed of the mesh's solvers, as ratios against a peer measured in the same run (CPU seconds, one thread)."""

from __future__ import annotations

from collections.abc import Iterator

from jcas_baselines import GBD

from jcas_env.scenarios.mesh import Mesh, MeshConfig, MeshProblem

from .row import Row, cpu_seconds, duration

CROWD = 1000
"""Users of the large instance."""
CROWD_FLOOR = 3e6
"""Their rate floor: 100 Mbit/s over 30 users is 3 Mbit/s over 1,000 [bit/s]."""
CROWD_MS = 10.0
"""Time asked of the large instance [ms]."""


def mesh_problem(count: int | None = None, seed: int = 1, **fields: object) -> MeshProblem:
    """Numbered instances of spec mesh 2 from ``seed`` on, batched; one without a batch axis for None."""
    scenario = Mesh(MeshConfig().with_fields(fields))
    state = scenario.sample(seed) if count is None else scenario.sample(range(seed, seed + count))
    return scenario.problem(state)


def mesh_rows(instances: int, bins: int = 8, seed: int = 1) -> Iterator[Row]:
    """Certified solves of the count model against the cone programs, a batch, and a thousand users.

    The cone programs are compiled before the clock starts. Rounding to whole subcarriers is part of every measurement
    but that of the certificate alone; the last row's peer is the time that is asked for.
    """
    one = mesh_problem(seed=seed)
    single = cpu_seconds(lambda: GBD().solve(one))
    bare = cpu_seconds(lambda: GBD(whole=False).solve(one))
    conic = GBD(backend="cvxpy", bins=bins)
    cone = cpu_seconds(lambda: conic.solve(one), least=0.0)
    users, carriers = one.users, one.subcarriers
    peer = f"GBD with CVXPY, {bins} bins"
    yield duration(f"mesh GBD, {users} users, {carriers} subcarriers", single, peer, cone, 50.0)
    yield duration("mesh GBD, certificate alone", bare, peer, cone, 50.0)
    many = mesh_problem(instances, seed)
    batch = cpu_seconds(lambda: GBD().solve(many)) / instances
    yield duration(f"mesh GBD, batch of {instances}", batch, "mesh GBD, one call", single, 2.0)
    crowd = mesh_problem(seed=seed, users=CROWD, rate_floor=CROWD_FLOOR)
    large = cpu_seconds(lambda: GBD().solve(crowd))
    yield duration(f"mesh GBD, {CROWD} users", large, "asked for", 1e-3 * CROWD_MS, 1.0)
