"""``jcas dataset``: episodes of an allocator, for learning from data."""
