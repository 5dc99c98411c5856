r"""What a policy sees: exactly what the known problem contains, scaled to roughly [-1, 1] (spec mimo 7).

Per user :math:`(\log_{10} \beta_k + 1.5)/2` and :math:`\xi_k/\beta_k`; then :math:`\sin\hat\theta`,
:math:`\tfrac12 \log_{10}(V/V_{max})`, the echo's strength and SNR_com over 30 dB, and the share of the energy that is
left (1 without a budget). The echo is the one that the frame's problem has, so that policies and solvers know
the same; the true angle is never seen.
"""

from __future__ import annotations

from ...types import Array, array_namespace
from ..decoding import bounded
from ..scenario import ArraySpec
from .config import MassiveMIMOConfig
from .problem import MassiveMIMOProblem
from .state import State

LIMIT = 4.0
"""Bound of every observed number in absolute value."""

USER_FEATURES = ("gain", "estimate")
"""Columns of ``users`` in :func:`structured`."""

FRAME_FEATURES = ("sine", "prior", "echo", "snr", "least_share")
"""Entries of ``frame`` there."""

TINY = 1e-30
"""Added to ratios before a logarithm: a certain angle stands at the lower bound."""


def observe(config: MassiveMIMOConfig, state: State, problem: MassiveMIMOProblem) -> Array | dict[str, Array]:
    """Observation in the configured form, float32; see :func:`spec`."""
    xp = array_namespace(state.angle)
    gain, ones = problem.large_scale_gain, xp.ones_like(state.angle)
    scalars = [
        xp.sin(state.estimate),
        0.5 * xp.log10(state.variance / config.variance_limit + TINY),
        (config.snr_sen_db + state.echo_db) / 30.0,
        ones * (config.snr_com_db / 30.0),
        ones if config.energy_budget is None else state.energy / config.energy,
    ]
    users, frame = [(xp.log10(gain) + 1.5) / 2.0, problem.estimate_variance / gain], xp.stack(scalars, axis=-1)
    if config.observation == "dict":
        return {"frame": _bounded(frame), "users": _bounded(xp.stack(users, axis=-1))}
    return _bounded(xp.concat([*users, frame], axis=-1))


def _bounded(value: Array) -> Array:
    xp = array_namespace(value)
    return xp.astype(bounded(value, -LIMIT, LIMIT), xp.float32)


def spec(config: MassiveMIMOConfig) -> ArraySpec | dict[str, ArraySpec]:
    """Shapes and bounds of the observation.

    ``frame`` (5): sine of the predicted angle, the tracker's variance, the echo, the users' SNR, what is left of the
    energy. ``users`` (U, 2): gain and quality of the estimate. Or one vector (2 U + 5): all gains, all qualities, the
    frame.
    """
    if config.observation == "flat":
        return ArraySpec((2 * config.users + 5,), -LIMIT, LIMIT)
    return {"frame": ArraySpec((5,), -LIMIT, LIMIT), "users": ArraySpec((config.users, 2), -LIMIT, LIMIT)}


def structured(problem: MassiveMIMOProblem) -> dict[str, Array]:
    r"""What a known problem says to a policy of the tracking task, in the problem's precision.

    ``users`` (..., users, 2) and ``frame`` (..., 5), scaled to roughly [-1, 1]:

    =========== ========================================================================================
    gain        :math:`(\log_{10} \beta_k + 1.5)/2`
    estimate    :math:`\xi_k/\beta_k`
    sine        :math:`\sin\hat\theta`
    prior       :math:`\tfrac12 \log_{10}(V^-/V_{max})`, of the predicted angle
    echo, snr   power budget over the noise of the echo, and of the users, in decades over 3
    least_share least :math:`T/S` with which :math:`1/(1/V^- + I) \le V_{max}`, the target where the beam points;
                the most informative one if none does
    =========== ========================================================================================

    The vector of :func:`observe` holds V instead of V^- and not the numbers of antennas, from which the last one
    follows (spec learning 3).
    """
    xp = array_namespace(problem.large_scale_gain)
    known, gain = problem.aligned(), problem.large_scale_gain
    users = [(xp.log10(gain) + 1.5) / 2.0, problem.estimate_variance / gain]
    frame = [
        xp.sin(problem.beam_angle),
        0.5 * xp.log10(problem.prior_variance / problem.variance_limit),
        xp.log10(problem.power_budget / problem.echo_noise) / 3.0,
        xp.log10(problem.power_budget / problem.noise_power) / 3.0,
        known.least_sensing_power(problem.lacking_bound()) / known.largest_total,
    ]
    return {"users": xp.stack(users, axis=-1), "frame": xp.stack(frame, axis=-1)}
