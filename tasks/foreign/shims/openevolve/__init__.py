"""What OpenEvolve evaluators import, where the package itself is not installed."""
