"""Published packages for program search on equal terms: the suite's proposer is their model."""
