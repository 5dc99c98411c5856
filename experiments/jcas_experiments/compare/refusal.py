"""Telling a refusal from a fault."""

from __future__ import annotations


class RefusedError(ValueError):
    """An allocator has refused a problem, in the process of another worker."""
