"""Optimisation allocators: the papers' solvers as baselines on exactly the environment's problem."""

from __future__ import annotations

from .admm import ADMM
from .equal import EqualAllocation
from .exact import Exact
from .gbd import GBD
from .grouping import BestGrouping
from .queue_rules import BacklogProportional, DrainSearch, MaxWeight
from .sca import SCA
from .search import GradientSearch, Joint
from .solver import Solution, Solver
from .tracking_rules import ConstantShare, ExactPerFrame, LeastSensing, Myopic
from .upper_bound import UpperBound
from .vertex_rules import BestVertex, ConstantRule

__all__ = [
    "ADMM",
    "GBD",
    "SCA",
    "BacklogProportional",
    "BestGrouping",
    "BestVertex",
    "ConstantRule",
    "ConstantShare",
    "DrainSearch",
    "EqualAllocation",
    "Exact",
    "ExactPerFrame",
    "GradientSearch",
    "Joint",
    "LeastSensing",
    "MaxWeight",
    "Myopic",
    "Solution",
    "Solver",
    "UpperBound",
]
