"""``jcas compare``: allocators side by side on the same scenes."""
