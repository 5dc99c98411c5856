"""Samples per CPU second of environments and training loops, one process a checkout, repetitions interleaved."""
