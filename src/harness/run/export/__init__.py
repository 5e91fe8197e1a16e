"""`harness export`: runs as files that other tools read. `formats` is the way in."""
