"""Loops of ``jcas_baselines.bounding``: nodes of a branch and bound."""
