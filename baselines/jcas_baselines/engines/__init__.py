"""Methods of optimisation that know no scenario."""
