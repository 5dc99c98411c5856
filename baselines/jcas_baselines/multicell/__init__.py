"""Parts of the methods that know the multi-cell problem."""
