"""Linear algebra of the receive combiners: one tiny eigenproblem for each user."""
