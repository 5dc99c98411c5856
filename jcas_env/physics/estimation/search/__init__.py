"""Searching atoms: dictionaries, coarse grids, pursuit and refinement, which serve the estimators alone."""
