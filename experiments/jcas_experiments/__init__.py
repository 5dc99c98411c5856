"""The outermost layer: the ``jcas`` command and the experiments behind it."""
