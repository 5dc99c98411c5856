"""Parts of the certified bound of the multi-cell utility."""
