"""``jcas train``: policies of one task."""
