"""The figures of the three papers, computed anew: ``jcas reproduce FIGURE``."""
