"""``jcas score``: policies on the frozen evaluation sets."""
