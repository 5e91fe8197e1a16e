"""Search policies on equal terms: one proposer, pure evaluations, so only the search differs."""
