"""Estimates of drawn links that know more than an estimator can."""

from __future__ import annotations

from jcas_experiments.links import Links

from jcas_env.physics.estimation import Estimate
from jcas_env.physics.estimation.known_angles import gains_on_known_angles


def genie(links: Links) -> Estimate:
    """MMSE estimate of the gains with the true angles and the prior variance M N/L (spec estimation 1.9)."""
    entries = links.channel.shape[-1] * links.channel.shape[-2]
    ridge = links.noise_power * links.aod_cos.shape[-1] / entries
    return gains_on_known_angles(
        links.received, links.beams, links.noise_power, links.aod_cos, links.aoa_cos, ridge=ridge
    )
