"""Memory: what was learnt, where it came from, and what it was worth."""
