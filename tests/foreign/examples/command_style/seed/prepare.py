"""Not to be changed."""
