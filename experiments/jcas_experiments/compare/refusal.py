"""Telling a refusal from a fault."""

from __future__ import annotations

from traceback import extract_tb


class RefusedError(ValueError):
    """An allocator has refused a problem, in the process of another worker."""


def refuses(error: Exception) -> bool:
    """Whether an error says that a problem is not for this allocator, as opposed to a fault.

    A refusal is a ``TypeError`` or ``ValueError`` that somebody raised; a ``LinAlgError``, which is a ``ValueError``
    as well, or arrays that do not fit together are none. An error that comes from another process is what that says.
    """
    raised = (extract_tb(error.__traceback__)[-1].line or "").startswith("raise")
    return raised and type(error) in (TypeError, ValueError)
