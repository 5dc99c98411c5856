r"""Traffic of the delay task: what arrives, and how queues move on (spec multicell 8.4).

In slot t the arrivals :math:`A_u` of the slot join the queue, the data rate of the slot serves it, and what waits
afterwards is the reward's business:

.. math:: q_u' = \max(q_u + A_u - R_u^C \Delta t,\; 0), \qquad
          A_u = b\, \mathrm{Poisson}\Big(\frac{\lambda_u \Delta t}{b}\Big), \qquad
          \lambda_u = \mathrm{load}\; \frac{1}{U} \sum_v R_v^C(\text{equal allocation, at reset})

An allocator knows :math:`q_u` and :math:`\lambda_u`, not :math:`A_u`: where it plans, it plans with the mean.
"""

from __future__ import annotations

from ....physics.queues import poisson_count
from ....types import Array, array_namespace
from ..config import MultiCellConfig
from ..state import Traffic


def arrival_rates(load: Array | float, equal_rate: Array) -> Array:
    """Mean arrivals of every user from the equal allocation's data rates at reset, (..., users) both [bit/s].

    ``load`` is a number or (..., 1).
    """
    xp = array_namespace(equal_rate)
    return load * xp.mean(equal_rate, axis=-1, keepdims=True) + xp.zeros_like(equal_rate)


def begin_traffic(config: MultiCellConfig, rate: Array, uniform: Array) -> Traffic:
    """Traffic of an episode's first slot; ``rate`` [bit/s] and ``uniform`` (..., users)."""
    xp = array_namespace(rate)
    return Traffic(rate, draw_arrivals(config, rate, uniform), xp.zeros_like(rate))


def draw_arrivals(config: MultiCellConfig, rate: Array, uniform: Array) -> Array:
    """Bits that arrive in a slot, whole packets: (..., users)."""
    return config.packet_bits * poisson_count(uniform, rate * config.slot / config.packet_bits)


def next_traffic(config: MultiCellConfig, traffic: Traffic, offered: Array, served: Array, uniform: Array) -> Traffic:
    """Traffic of the next slot; ``offered`` and ``served`` (..., users): bits to send and sent in the last one."""
    xp = array_namespace(offered)
    enough = xp.minimum(traffic.rate * config.slot, offered)
    waited = xp.where(served >= enough, xp.zeros_like(offered), traffic.waited + 1.0)
    return Traffic(traffic.rate, draw_arrivals(config, traffic.rate, uniform), waited)
