"""Parts of the methods that know the mesh."""
