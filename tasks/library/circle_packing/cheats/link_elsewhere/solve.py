"""The output is a link to a file of the machine."""

import os

os.symlink("/etc/passwd", "circles.json")
