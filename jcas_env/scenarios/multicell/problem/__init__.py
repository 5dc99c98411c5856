"""The allocation problem of a slot: what it is made of, what it is worth, what it forbids."""
