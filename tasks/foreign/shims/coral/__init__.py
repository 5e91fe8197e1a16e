"""What CORAL graders import, where the package itself is not installed."""
