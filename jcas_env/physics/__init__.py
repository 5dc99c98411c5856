"""Pure functions of arrays and floats: no configuration, no random generator, no environment.

Every function takes arrays of any array-API library with leading batch axes, never writes into its
arguments, and keeps their dtype and device.
"""
