"""Trainers: how policies come by their parameters."""
