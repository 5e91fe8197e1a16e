"""harness: a team of coding agents improves whatever has a score."""
