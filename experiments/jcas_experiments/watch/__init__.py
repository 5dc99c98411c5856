"""``jcas watch``: a network and what allocators do with it, slot by slot, in a window or in a film."""
