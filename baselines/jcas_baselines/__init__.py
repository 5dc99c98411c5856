"""Optimisation allocators: the papers' solvers as baselines on exactly the environment's problem."""

from __future__ import annotations

from .admm import ADMM
from .bound import UpperBound
from .equal import EqualAllocation
from .exact import Exact
from .gbd import GBD
from .grouping import BestGrouping
from .queues import BacklogProportional, DrainSearch, MaxWeight
from .sca import SCA
from .search import GradientSearch, Joint
from .solver import Solution, Solver
from .vertex import BestVertex, ConstantRule

__all__ = [
    "ADMM",
    "GBD",
    "SCA",
    "BacklogProportional",
    "BestGrouping",
    "BestVertex",
    "ConstantRule",
    "DrainSearch",
    "EqualAllocation",
    "Exact",
    "GradientSearch",
    "Joint",
    "MaxWeight",
    "Solution",
    "Solver",
    "UpperBound",
]
