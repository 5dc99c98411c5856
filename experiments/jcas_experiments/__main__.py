"""``python -m jcas_experiments`` is the ``jcas`` command."""

from __future__ import annotations

from .cli import main

main()
