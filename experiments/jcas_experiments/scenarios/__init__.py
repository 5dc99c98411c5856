"""What the commands know of each scenario."""
