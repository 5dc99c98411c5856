"""What can be set in the multi-cell scenario: every number that is not drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ...physics.beamforming import Combiner, Precoder
from ...physics.estimation import ESTIMATORS
from ...physics.geometry import LAYOUTS
from ...physics.rates import Noise, PositioningGain
from ..configuration import Configuration, ObservationForm, Precision
from ..kinds import Boolean, Choice, Integer, Number, OneOrEach, OrNone, Several

_Reward = Literal["rate", "fair", "delay"]
Intercell = Literal["printed", "bound"]
Assignment = Literal["geometric", "svd"]


@dataclass(frozen=True, kw_only=True)
class MultiCellSettings(Configuration):
    """Fields of :class:`.config.MultiCellConfig`.

    Defaults are the physically right formulas where luo2023 has misprints; sizes, correlations and what pilots cost
    are choices.
    """

    cells: Annotated[int, Choice(LAYOUTS)] = 3
    """Number of cells, 1, 3 or 7."""
    users_per_cell: Annotated[int, Integer(1, 256)] = 12
    """Users dropped into each hexagon."""
    radius: Annotated[float, Number(5.0, 1e4)] = 30.0
    """Circumradius of a hexagonal cell [m]."""
    carrier_hz: Annotated[float, Number(1e8, 1e12)] = 60e9
    """Carrier frequency [Hz]."""
    bs_antennas: Annotated[int, Integer(1, 1024)] = 20
    """Elements M of a base station's array."""
    ue_antennas: Annotated[int, Integer(1, 256)] = 4
    """Elements N of a user's array."""

    paths: Annotated[int, Integer(1, 256)] = 3
    """Paths L of a link: one line of sight and L - 1 scattered."""
    rician_db: Annotated[float | None, OrNone(Number(-60.0, 60.0))] = 9.0
    """Power of the line of sight over that of all scattered paths [dB]. None: all paths are CN(0, 1/L),
    luo2023 eq. 4 to the letter."""
    clusters: Annotated[
        tuple[int, int, float] | None, OrNone(Several((Integer(1, 64), Integer(1, 64), Number(0.0, 180.0))))
    ] = None
    """(clusters, paths per cluster, angular spread [deg]): scattered angles gather in clusters; replaces
    ``paths`` by the product. None: independent angles."""
    noise_density_dbm_hz: Annotated[float, Number(-220.0, -130.0)] = -174.0
    """Thermal noise power density [dBm/Hz]."""
    noise_figure_db: Annotated[float, Number(-20.0, 40.0)] = 7.0
    """Noise figure of a user's receiver [dB]."""

    power_budget: Annotated[float, Number(1e-6, 1e6)] = 10.0
    """Power of a base station [W]."""
    band_budget: Annotated[float, Number(1e3, 1e12)] = 10e6
    """Band of a base station [Hz]; all of them use the same band."""
    floor: Annotated[float, Number(0.0, 0.5)] = 0.01
    """Least power of a user and service, and least band of a group and service, as a share of the budget."""
    subcarrier_spacing: Annotated[float, Number(1.0, 1e10)] = 150e3
    """Spacing of the subcarriers [Hz]."""
    whole_subcarriers: Annotated[bool, Boolean()] = False
    """Round bands to whole subcarriers on the air, service by service (largest remainder, at least one for each group).
    A band too narrow for one group is refused here; how many groups a cell has is the scene's, and a scene with more
    than the band has subcarriers is infeasible: solvers say so, and any action transmits the fallback."""

    positioning_share: Annotated[float | None, OrNone(Number(1e-6, 0.999999))] = None
    """Share of power and band that positioning gets in every cell; None leaves it to the allocator."""
    service_weight: Annotated[tuple[float, float], Several((Number(0.0, 1e6), Number(0.0, 1e6)))] = (1.0, 1.5)
    """Weights of data rate and positioning rate in the reward. With (1, 1) and a free share the linear
    reward always runs to the communication end."""
    reward: Annotated[_Reward, Choice(_Reward)] = "rate"
    """``rate``: weighted sum of the rates; ``fair``: weighted sum of their logarithms; ``delay``: minus the mean
    backlog in slots of arrivals, which turns the queues on."""
    prior_variance: Annotated[float, Number(1e-12, 10.0)] = 0.01
    """Variance of a user's angle before a slot's positioning [rad^2]."""
    kalman: Annotated[bool, Boolean()] = False
    """Let the slots' positioning narrow this variance and motion widen it; it is then the first slot's."""

    estimator: Annotated[str, Choice(ESTIMATORS)] = "spomp"
    """Source of the channel knowledge: a file of ``jcas_env/physics/estimation``. ``perfect`` is the truth, ``crb`` a
    fast statistical stand-in for ``spomp``."""
    snapshots: Annotated[int, Integer(1, 256)] = 6
    """Pilot frames T from which angles are measured."""
    grid: Annotated[int, Integer(2, 1000)] = 100
    """Grid points per side on which ``omp`` and ``spomp`` begin their search."""
    angle_coherence: Annotated[int, Integer(1, 10**9)] = 5
    """Slots between two measurements of angles and positions; in between ``spomp`` and ``crb`` keep the angles and
    measure gains alone. An angle drifts by v t/d: keep this below 0.1 d/(M v dt)."""
    pilots: Annotated[int, Integer(1, 1024)] = 8
    """Pilot beams P of a slot in which gains alone are measured; at least two measurements per path, P N >= 2 L."""
    frame_rho: Annotated[float, Number(0.0, 1.0)] = 0.0
    """Correlation of the path gains of successive pilot frames; 0: independent, a choice. What is consistent
    with ``fading_correlation`` = 0.9 between slots, for frames back to back, 0.4 ms of 10 ms, is 0.9^0.04 = 0.996."""
    pilot_power: Annotated[float | None, OrNone(Number(1e-6, 1e9))] = None
    """Power of the pilots [W]; None: the whole power budget."""
    pilot_reuse: Annotated[bool, Boolean()] = False
    """All stations send the same pilots at the same time (pilot contamination). It costs ``spomp`` as much as ``ls``:
    both end at an NMSE of -4.8 dB however strong the pilots, because angles do not say whose path it is; the strongest
    path alone stays at -9.3 dB (figure ``pilot-contamination``). Not modelled by ``crb``, which refuses it."""
    pilot_overhead: Annotated[bool, Boolean()] = False
    """Subtract the time that pilots take from the rates."""
    csi_nmse: Annotated[float, Number(0.0, 100.0)] = 0.0
    """Power of an extra i.i.d. error on every known channel, relative to the channel."""
    csi_delay: Annotated[int, Choice((0, 1))] = 1
    """Age of the channel knowledge when an allocation acts [slots], 0 or 1."""
    combiner: Annotated[Combiner | None, OrNone(Choice(Combiner))] = None
    """Receive combiner; None: ``null_mrc`` where the user has more antennas than the other cells have
    paths, ``N > (C-1) L``, else ``gev``."""
    precoder: Annotated[Precoder, Choice(Precoder)] = "mrt"
    """Transmit beams."""
    analog: Annotated[bool, Boolean()] = False
    """Constant-modulus (phase-only) combiners and beams."""
    noise: Annotated[Noise, Choice(Noise)] = "per_hertz"
    """Noise in the true rates: of the group's band, or of the whole band as in luo2023 eq. 14."""
    positioning_gain: Annotated[PositioningGain, Choice(PositioningGain)] = "classical"
    """Positioning factor, ``paper`` as printed in luo2023 eq. 17."""
    intercell: Annotated[Intercell, Choice(Intercell)] = "printed"
    """Inter-cell term of the relaxed problem: (C-1) lambda^2 P as printed, or the valid bound lambda^2 P."""
    assignment: Annotated[Assignment, Choice(Assignment)] = "geometric"
    """Serving cell: the hexagon of the drop, or luo2023 Algorithm 2 stage 1."""
    grouping_threshold: Annotated[float | tuple[float, ...], OneOrEach(Number(1e-6, 10.0))] = 0.4
    """Correlation from which users of a cell are put into different groups; one number or one per cell."""

    horizon: Annotated[int, Integer(1, 10**9)] = 100
    """Slots in an episode; 1 makes a one-step task."""
    slot: Annotated[float, Number(1e-6, 10.0)] = 0.01
    """Slot length [s]."""
    speed: Annotated[float, Number(0.0, 1e3)] = 1.0
    """Root mean square speed of the users [m/s]."""
    velocity_memory: Annotated[float, Number(0.0, 1.0)] = 0.9
    """Correlation of a user's velocity in successive slots."""
    fading_correlation: Annotated[float, Number(0.0, 1.0)] = 0.9
    """Correlation of the scattered paths in successive slots; 1 freezes the fading. A modelling choice, with
    ``frame_rho``: at 60 GHz and 1 m/s fading decorrelates in about 2 ms, so that slots of 10 ms hardly correlate and
    the frames inside of one do. The pair that follows from the speed is :attr:`clarke_correlations`, for the defaults
    the preset ``clarke``."""
    blockage: Annotated[bool, Boolean()] = False
    """Block lines of sight at random."""
    blockage_enter: Annotated[float, Number(0.0, 1.0)] = 0.01
    """Probability that a clear line of sight is blocked in the next slot."""
    blockage_leave: Annotated[float, Number(0.0, 1.0)] = 0.1
    """Probability that a blocked line of sight is clear in the next slot."""
    blockage_loss_db: Annotated[float, Number(0.0, 60.0)] = 15.0
    """Loss of a blocked line of sight [dB]."""

    queues: Annotated[bool, Boolean()] = False
    """Let data arrive at random and wait in a queue for each user; always so with the ``delay`` reward."""
    load: Annotated[float, Number(0.0, 10.0)] = 0.7
    """Mean arrivals of all users over the sum of their data rates under equal allocation at reset."""
    packet_bits: Annotated[float, Number(1.0, 1e9)] = 12000.0
    """Size of the packets, which arrive in Poisson numbers [bit]; larger ones are burstier at the same load."""

    logit_scale: Annotated[float, Number(0.01, 40.0)] = 5.0
    """Logits per unit of an action."""
    observation: Annotated[ObservationForm, Choice(ObservationForm)] = "dict"
    """``dict``: structured; ``flat``: one vector for MLPs."""
    dtype: Annotated[Precision, Choice(Precision)] = "float64"
    """Precision of the simulation. ``float32`` halves its memory and takes a quarter off its time."""
