"""nguyen2024 as a Markov decision process: pure functions of arrays with leading batch axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np

from ...physics.arrays import sum_of_few
from ...physics.motion import autoregressive_fading
from ...physics.mrt import estimate_variance, large_scale_gain
from ...randomness import RandomSource
from ...types import Array, array_namespace, device, is_array
from ..decoding import bounded
from ..scenario import Observation, ScenarioBase, standard_normals
from .action import action_size, decode, encode_allocation, fallback
from .allocation import MassiveMIMOAllocation, MassiveMIMOOutcome
from .config import MassiveMIMOConfig
from .observation import observe, spec
from .problem import MassiveMIMOProblem, reciprocal
from .state import Initial, Innovation, State

LARGEST_SIGMA = 0.5
"""Largest beam error that is planned for [rad] (spec mimo 7)."""


def predicted_sigma(prior_variance: Array) -> Array:
    """One standard deviation of the predicted angle, at most 0.5 rad, (...,) [rad]."""
    xp = array_namespace(prior_variance)
    return xp.clip(xp.sqrt(prior_variance), max=LARGEST_SIGMA)


class MassiveMIMO(
    ScenarioBase[Initial, Innovation, State, MassiveMIMOProblem, MassiveMIMOAllocation, MassiveMIMOOutcome]
):
    """A base station that serves users with maximum-ratio transmission and tracks a target (nguyen2024, spec mimo).

    A frozen configuration and functions of it; nothing changes after construction. Shapes are those of
    :class:`State`, with any leading batch axes. Time: ``state`` holds gains and echo of frame t and the tracker's
    estimate after frame t - 1; the beam points at the estimate, and only the truth knows the target.
    """

    name = "massive-mimo"

    def __init__(self, config: MassiveMIMOConfig | None = None) -> None:
        self.config: MassiveMIMOConfig = MassiveMIMOConfig() if config is None else config
        self.action_size = action_size(self.config.users, self.config.action)
        self.observation_spec = spec(self.config)

    # ---------------------------------------------------------------- randomness

    def _draw_initial(self, rng: RandomSource) -> Initial:
        users = self.config.users
        draws = (rng.random(users), rng.standard_normal(users), rng.standard_normal(), rng.random())
        return Initial(*map(_array, (*draws, rng.standard_normal())))

    def _draw(self, rng: RandomSource, state: State) -> Innovation:  # noqa: ARG002 (every slot draws the same)
        return self._innovation(rng.standard_normal(self.config.users + 3))

    def _draw_lanes(self, generators: Sequence[np.random.Generator], state: State) -> Innovation:  # noqa: ARG002
        return self._innovation(standard_normals(generators, self.config.users + 3))

    def _innovation(self, normals: Array) -> Innovation:
        """Innovation of normals (..., users + 3), which are drawn in the order of its fields."""
        return Innovation(normals[..., 0], normals[..., 1:-2], normals[..., -2], normals[..., -1])

    # ---------------------------------------------------------------- dynamics

    def initial(self, draws: Initial) -> State:
        """First decision: users uniform over the cell's area, stationary gains and echo, an estimate with error."""
        xp = array_namespace(draws.angle)
        config, ones = self.config, xp.ones_like(draws.angle)
        inner, outer = config.reference_distance**2, config.radius**2
        angle = config.angle_spread * (2.0 * draws.angle - 1.0)
        angle = angle if config.target_angle is None else config.target_angle * ones
        variance = config.first_variance * ones
        return State(
            slot=np.zeros(ones.shape, dtype=np.int64),
            distance=xp.sqrt(inner + draws.area * (outer - inner)),
            shadowing_db=config.shadowing_db * draws.shadowing,
            echo_db=config.echo_std_db * draws.echo,
            angle=angle,
            estimate=self.aim(angle, angle + xp.sqrt(variance) * draws.error, variance),
            variance=variance,
            energy=config.energy * ones,
        )

    def transition(
        self,
        state: State,
        allocation: MassiveMIMOAllocation,
        innovation: Innovation,
        truth: MassiveMIMOProblem | None = None,
    ) -> State:
        """Measure the angle, update the tracker, spend the energy; then gains, echo and target move (spec mimo 7)."""
        truth = self.truth(state) if truth is None else truth
        information = truth.information(allocation)
        return self._moved(state, allocation, innovation, reciprocal(information), truth.posterior(information))

    def transition_given(
        self,
        state: State,
        allocation: MassiveMIMOAllocation,
        innovation: Innovation,
        truth: MassiveMIMOProblem,  # noqa: ARG002 (the outcome tells what it would)
        outcome: MassiveMIMOOutcome,
    ) -> State:
        """:meth:`transition`: bound and variance are the outcome's."""
        return self._moved(state, allocation, innovation, outcome.crb, outcome.variance)

    def _moved(
        self, state: State, allocation: MassiveMIMOAllocation, innovation: Innovation, crb: Array, variance: Array
    ) -> State:
        """Next state, where a frame's bound is ``crb`` (...,) and the tracker's variance after it ``variance``."""
        xp = array_namespace(state.angle)
        config, prior = self.config, self.prior_variance(state)
        gain = prior / (prior + crb)  # without information the bound is infinite, and the gain zero
        error = innovation.measurement * xp.sqrt(xp.where(gain > 0, crb, 0.0))
        estimate = state.estimate + gain * (state.angle + error - state.estimate)
        angle = bounded(state.angle + config.drift * innovation.angle, -config.angle_limit, config.angle_limit)
        radiated = config.tx_antennas * (sum_of_few(allocation.power) + allocation.sensing_power)
        return State(
            slot=state.slot + 1,
            distance=state.distance,
            shadowing_db=autoregressive_fading(
                state.shadowing_db, config.shadowing_db * innovation.shadowing, correlation=config.shadowing_memory
            ),
            echo_db=autoregressive_fading(
                state.echo_db, config.echo_std_db * innovation.echo, correlation=config.echo_memory
            ),
            angle=angle,
            estimate=self.aim(angle, estimate, variance + config.drift**2),
            variance=variance,
            energy=xp.maximum(state.energy - radiated, 0.0),
        )

    def aim(self, angle: Array, estimate: Array, prior_variance: Array) -> Array:
        """Where the next beam points: at the tracker's estimate, or one predicted sigma off the target."""
        if self.config.tracker == "kalman":
            return estimate
        return angle - predicted_sigma(prior_variance)

    def prior_variance(self, state: State) -> Array:
        """V^-, variance of the predicted angle, (...,) [rad^2]; before the first frame the target has not moved."""
        xp = array_namespace(state.variance)
        moved = xp.asarray(state.slot > 0, device=device(state.variance))
        return xp.where(moved, state.variance + self.config.drift**2, state.variance)

    def echo_noise(self, echo_db: Array) -> Array:
        r"""Scaled echo noise :math:`P_t / (\mathrm{SNR}\, 10^{x/10})` for the echo's strength x [dB], (...,) [W].

        By ``exp``: ``**`` rounds the number of one lane otherwise than an array of many.
        """
        xp = array_namespace(echo_db)
        return self.config.power_budget * xp.exp((-log(10.0) / 10.0) * (self.config.snr_sen_db + echo_db))

    # ---------------------------------------------------------------- what is known, true, seen and paid

    def problem(self, state: State) -> MassiveMIMOProblem:
        """What an allocator may know: gains, noise of the echo, and a target where the beam points."""
        xp = array_namespace(state.angle)
        config = self.config
        gain = large_scale_gain(
            state.distance,
            state.shadowing_db,
            reference=config.reference_distance,
            exponent=config.path_loss_exponent,
        )
        ones, everyone = xp.ones_like(state.angle), xp.ones_like(gain)
        noise = config.noise_power * ones
        return MassiveMIMOProblem.derived(
            large_scale_gain=gain,
            estimate_variance=estimate_variance(gain, noise, pilot_energy=config.pilot_energy),
            noise_power=noise,
            echo_noise=self.echo_noise(state.echo_db),
            power_budget=xp.minimum(state.energy, config.power_budget),
            crb_limit=config.frame_demand * ones,
            tx_antennas=config.tx_antennas,
            rx_antennas=config.rx_antennas,
            target_angle=state.estimate,
            beam_angle=state.estimate,
            rate_factor=config.rate_factor,
            weight=everyone,
            rate_floor=config.rate_floor * everyone,
            prior_variance=self.prior_variance(state),
            variance_limit=config.variance_limit * ones,
            penalty=config.penalty,
            reward=config.reward,
            objective=config.objective,
        )

    def truth(self, state: State) -> MassiveMIMOProblem:
        """The same problem with the target where it is."""
        return self.truth_given(state, self.problem(state))

    def truth_given(self, state: State, problem: MassiveMIMOProblem) -> MassiveMIMOProblem:
        """The truth, which differs from what is known by the target's angle alone."""
        return problem.with_target(state.angle)

    def _observe(self, state: State, problem: MassiveMIMOProblem) -> Observation:
        return observe(self.config, state, problem)

    # ---------------------------------------------------------------- actions and allocations

    def decode(self, action: Array, problem: MassiveMIMOProblem) -> MassiveMIMOAllocation:
        """Allocation of an action, (..., action_size); see :func:`.action.decode`."""
        return decode(action, problem, kind=self.config.action, logit_scale=self.config.logit_scale)

    def encode_allocation(self, allocation: MassiveMIMOAllocation, problem: MassiveMIMOProblem) -> Array:
        """Action nearest to an allocation; see :func:`.action.encode_allocation`."""
        return encode_allocation(allocation, problem, kind=self.config.action, logit_scale=self.config.logit_scale)

    fallback = staticmethod(fallback)


def _array(number: float | Array) -> Array:
    """What one lane draws alone, without axes, as an array."""
    return number if is_array(number) else np.asarray(number)
