"""Evaluations on a Ray cluster (extra `ray`)."""
