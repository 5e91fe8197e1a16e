"""Heartbeats: rules that watch agents and the team and intervene."""
