"""Agents: long-lived workers that turn directives into attempts."""
