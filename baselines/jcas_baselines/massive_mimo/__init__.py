"""Parts of the methods that know massive MIMO."""
