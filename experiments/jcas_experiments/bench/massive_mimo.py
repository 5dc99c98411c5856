"""Speed of the massive MIMO solvers against the paper's algorithm in CVXPY, in the same run."""

from __future__ import annotations

from collections.abc import Iterator

from jcas_baselines import SCA, Exact

from jcas_env.scenarios.massive_mimo import MassiveMIMO, MassiveMIMOConfig, MassiveMIMOProblem

from .row import Row, cpu_seconds, duration


def weak_frames(count: int, seed: int) -> MassiveMIMOProblem:
    """Random frames of nguyen2024 with an echo so weak that the demand binds (spec mimo 5, case C), a batch."""
    scenario = MassiveMIMO(MassiveMIMOConfig.preset("nguyen2024", snr_sen_db=-12.0))
    return scenario.problem(scenario.sample(range(seed, seed + count)))


def massive_mimo_rows(frames: int = 1000, cone_frames: int = 5, seed: int = 0) -> Iterator[Row]:
    """Exact optimum and closed-form SCA on a batch, and both on single frames, against CVXPY-SCA per frame.

    Four users, 15 antennas (spec mimo 8.12).
    """
    batch, few = weak_frames(frames, seed), weak_frames(cone_frames, seed)
    singles = [weak_frames(1, seed + lane) for lane in range(cone_frames)]
    conic, closed, exact = SCA(backend="cvxpy"), SCA(), Exact()
    conic.solve(singles[0])  # compiles the program before the clock starts
    cone = cpu_seconds(lambda: conic.solve(few), least=0.0, rounds=1) / cone_frames
    peer = f"CVXPY-SCA, {cone_frames} frames"

    def row(name: str, seconds: float, target: float) -> Row:
        return duration(name, seconds, peer, cone, target, "us/frame")

    yield row(f"Exact massive MIMO, {frames} frames", cpu_seconds(lambda: exact.solve(batch)) / frames, 10_000.0)
    yield row(f"SCA closed form, {frames} frames", cpu_seconds(lambda: closed.solve(batch)) / frames, 500.0)
    alone = {
        name: cpu_seconds(lambda solver=solver: [solver.solve(one) for one in singles]) / cone_frames  # type: ignore[misc]
        for name, solver in (("Exact massive MIMO", exact), ("SCA closed form", closed))
    }
    yield row("Exact massive MIMO, one frame", alone["Exact massive MIMO"], 30.0)
    yield row("SCA closed form, one frame", alone["SCA closed form"], 5.0)
