"""What is known about angles and positions: Fisher information and the bounds that follow from it."""
