"""Work that is shared: by processes of this machine (``--jobs``), or by a Ray cluster (``--ray``)."""
