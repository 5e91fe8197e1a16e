"""Evaluators: what scores an attempt, apart from the agents."""
