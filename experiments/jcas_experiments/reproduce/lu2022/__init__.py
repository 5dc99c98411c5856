"""Figures of lu2022."""
