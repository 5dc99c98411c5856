"""Figures of nguyen2024."""
