"""Figures of luo2023."""
