"""GPUs: which there are, and who has them."""
