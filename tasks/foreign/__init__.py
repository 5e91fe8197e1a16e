"""Task formats of other tools, read as they lie on disk."""
