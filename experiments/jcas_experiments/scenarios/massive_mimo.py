"""Massive MIMO: the allocators that can be compared, and how they are shown."""

from __future__ import annotations

from functools import partial

from jcas_baselines import SCA, ConstantShare, EqualAllocation, Exact, ExactPerFrame, LeastSensing, Myopic

from ..allocators import Roster, learned_policy
from ..views import Column, View

ROSTER = Roster(
    {
        "equal": (EqualAllocation, "least sensing power for the frame's demand, equal factors for the users"),
        "equal-stream": (lambda: EqualAllocation(reading="equal-stream"), "the same, equal stream powers"),
        "equal-full": (lambda: EqualAllocation(reading="equal-full"), "one factor for users and sensing"),
        "equal-half": (lambda: EqualAllocation(reading="equal-half"), "half of the power for sensing"),
        "exact": (Exact, "global optimum under the frame's CRB demand, beam taken as aligned"),
        "exact-sigma": (lambda: ExactPerFrame("sigma"), "the same, planned with one predicted sigma of beam error"),
        "sca": (SCA, "nguyen2024 Algorithm 1, closed form"),
        "sca-low": (lambda: SCA(start="low"), "the same from the point of least power"),
        "sca-cvxpy": (lambda: SCA(backend="cvxpy"), "nguyen2024 Algorithm 1 as printed, CVXPY (slow)"),
        "least-t": (LeastSensing, "least sensing power that keeps the tracker's variance"),
        "least-t-sigma": (lambda: LeastSensing("sigma"), "the same, planned with one sigma of beam error"),
        "myopic": (Myopic, "sensing share that maximises the frame's reward"),
        "myopic-sigma": (lambda: Myopic("sigma"), "the same, planned with one sigma of beam error"),
        "constant-10": (lambda: ConstantShare(share=0.1), "a tenth of the power for sensing"),
        "constant-30": (lambda: ConstantShare(share=0.3), "three tenths of the power for sensing"),
        "learned": (partial(learned_policy, "massive-mimo-tracking"), "shipped policy massive-mimo-tracking"),
    },
    default=("equal", "equal-full", "exact", "sca", "constant-30", "least-t", "myopic"),
    reference="myopic",
    beside={"tracking": ("constant-30", "exact", "least-t", "myopic")},
)
"""Allocators."""

VIEW = View(
    columns=(
        Column("rate_bit_s_hz", "R", "rate"),
        Column("p5_rate_bit_s_hz", "p5", "p5_rate"),
        Column("jain", "Jain", "jain"),
        Column("variance_mrad2", "V", "variance", 1e3),
        Column("cost_decades", "cost", "cost"),
        Column("sensing_share", "T/S", "sensing_share"),
        Column("feasible_share", "reach", "feasible"),
    ),
    axes=("rate_bit_s_hz", "variance_mrad2"),
    labels=("data rate per user [bit/s/Hz]", "variance of the target's angle [1e-3 rad²]"),
    unit=lambda config: "bit/s/Hz" if config.reward == "constrained" else "bit/s/Hz, less a price per decade",
    legend=(
        "R, p5, Jain: data rate per user [bit/s/Hz], its 5th percentile and fairness; V: variance of the angle "
        "after a frame [1e-3 rad^2]; cost: decades of V above its limit; T/S: sensing share of the radiated power; "
        "reach: share of frames whose own CRB can meet the demand."
    ),
    describe=lambda config: (
        f"{config.users} users and a target, {config.tx_antennas} x {config.rx_antennas} antennas, "
        f"echo {config.snr_sen_db:g} dB"
    ),
    log=(False, True),
    rate_unit=(1.0, "bit/s/Hz"),
)
"""Presentation."""
