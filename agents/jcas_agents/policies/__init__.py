"""Policies: from what an allocator knows to what it does."""
