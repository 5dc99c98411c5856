"""``jcas bench``: speed, as ratios against a peer measured in the same run (CPU seconds, one thread)."""
