"""Sandboxes: where commands run, what they may touch, and how trees go in and out."""
