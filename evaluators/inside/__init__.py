"""Files that are copied into sandboxes and run there without the harness."""
