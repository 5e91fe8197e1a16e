"""MLE-bench: its competitions on disk, its grading rules, and native tasks made of them."""
