"""Search: which attempt to expand next, with which operator and references."""
