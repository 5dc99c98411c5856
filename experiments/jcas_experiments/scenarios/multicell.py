"""Multicell: the allocators that can be compared, and how they are shown."""

from __future__ import annotations

from functools import partial

from jcas_baselines import (
    ADMM,
    GBD,
    SCA,
    BacklogProportional,
    BestGrouping,
    BestVertex,
    ConstantRule,
    DrainSearch,
    EqualAllocation,
    Exact,
    GradientSearch,
    Joint,
    MaxWeight,
    UpperBound,
)

from jcas_env.units import MEGA

from ..allocators import Roster, learned_policy
from ..views import Column, View

ROSTER = Roster(
    {
        "equal": (EqualAllocation, "equal power, band per user (EBPA)"),
        "equal-group": (lambda: EqualAllocation(per="group"), "equal power, band per group"),
        "eba-pa": (lambda: EqualAllocation(power="proposed"), "band per user, water-filling power (EBA + PA)"),
        "exact": (Exact, "global optimum of the relaxed problem, constant noise"),
        "exact-phys": (
            lambda: Exact(noise="per_hertz"),
            "global optimum of the relaxed problem, noise per hertz",
        ),
        "admm": (ADMM, "luo2023 Algorithm 3, closed form"),
        "admm-cvxpy": (lambda: ADMM(backend="cvxpy"), "luo2023 Algorithm 3 as printed, by CVXPY (slow)"),
        "admm-grouping": (lambda: BestGrouping(ADMM()), "ADMM with the best grouping threshold of each cell"),
        "gbd": (GBD, "generalised Benders: the share by cuts, noise per hertz, certified gap"),
        "sca": (SCA, "successive convex approximation of the true rates, other cells as they were"),
        "sca-network": (lambda: SCA(scope="network"), "the same for all cells together"),
        "sca-grouping": (lambda: BestGrouping(SCA()), "SCA with the best grouping threshold of each cell (slow)"),
        "constant": (ConstantRule, "all slack band to the first group, equal power: looks at nothing"),
        "vertex": (BestVertex, "the best such corner of each cell"),
        "search-20": (lambda: GradientSearch(steps=20), "20 gradient steps from EBPA, all cells"),
        "search-50": (lambda: GradientSearch(steps=50), "50 gradient steps from EBPA, all cells"),
        "learned": (
            partial(learned_policy, "multicell-rate"),
            "shipped policy of the reward: rate, fair or delay",
        ),
        "learned-local": (
            partial(learned_policy, "multicell-rate-local"),
            "shipped policy multicell-rate-local: base stations decide, each from what it sees",
        ),
        "learned-delay": (
            lambda: learned_policy("multicell-delay"),
            "with queues: shipped policy for the delay task, multicell-delay",
        ),
        "joint": (Joint, "best found: gradient search from many starts (slow)"),
        "max-weight": (MaxWeight, "with queues: EBA + PA weighted by the backlogs"),
        "backlog": (BacklogProportional, "with queues: band by what the groups' backlogs need, equal power"),
        "drain": (DrainSearch, "with queues: 120 gradient steps on the squared backlog of the slot (slow)"),
    },
    default=("equal", "equal-group", "eba-pa", "exact", "admm", "gbd", "sca"),
    reference="admm",
    yardstick=lambda: UpperBound("fast"),
    by_reward={"delay": (("equal", "admm", "sca", "max-weight", "backlog", "learned-delay"), "equal")},
    shipped={reward: f"multicell-{reward}" for reward in ("rate", "fair", "delay")},
    beside={
        "rate": ("constant", "vertex", "search-20", "search-50"),
        "fair": ("search-20", "search-50"),
        "delay": ("backlog", "drain"),
    },
)
"""Allocators."""

RATES = (
    Column("rate_mbps", "R_C", "rate", 1 / MEGA),
    Column("positioning_rate_mbps", "R_O", "positioning_rate", 1 / MEGA),
    Column("p5_rate_mbps", "p5", "p5_rate", 1 / MEGA),
    Column("jain", "Jain", "jain"),
)

QUEUES = (
    Column(
        "backlog_ms",
        "backlog",
        "backlog_ms",
        format=".1f",
        note="backlog: what waits after a slot, as the time in which as much arrives [ms].",
    ),
    Column(
        "delivered", "delivered", "served", format=".3f", over="arrived", note="delivered: bits sent over bits arrived."
    ),
)
"""Columns of tasks with queues."""

VIEW = View(
    columns=(*QUEUES, *RATES),
    axes=("rate_mbps", "positioning_rate_mbps"),
    labels=("data rate per user [Mbit/s]", "positioning rate per user [Mbit/s]"),
    unit=lambda config: {"rate": "Mbit/s", "fair": "ln Mbit/s", "delay": "minus slots of arrivals"}[config.reward],
    legend=(
        "R_C, R_O: data and positioning rate per user [Mbit/s]; "
        "p5, Jain: 5th percentile and fairness of R_C over users."
    ),
    logarithmic=lambda config: config.reward == "fair",
    accumulates=lambda config: config.reward == "delay",
    rate_unit=(1 / MEGA, "Mbit/s"),
    describe=lambda config: (
        f"{config.cells} cells x {config.users_per_cell} users, {config.bs_antennas} x {config.ue_antennas} antennas"
    ),
)
"""Presentation."""
