"""Compiled loops for the few formulas of a slot that array calls cannot make fast; see :mod:`.dispatch`."""
