"""What CORAL keeps of a run."""
