"""A task's evaluator over HTTP, for search engines that are not ours."""
