"""Stable-Baselines3: adapter of the vector environment, and the policies as its actors."""
