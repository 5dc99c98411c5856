"""Learned allocators, and the evaluation that treats them and the solvers alike."""

from __future__ import annotations

from .agent import Agent, Decision, PolicyAgent, SolverAgent
from .evaluation import Evaluation, decision_time, evaluate

__all__ = ["Agent", "Decision", "Evaluation", "PolicyAgent", "SolverAgent", "decision_time", "evaluate"]
