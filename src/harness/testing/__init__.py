"""Shipped contract suites and the scripted model endpoint; needs the extra `testing`."""
