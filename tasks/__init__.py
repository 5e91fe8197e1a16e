"""Tasks: what is to be improved, and the formats they come in."""
