"""The run: composes the parts; owns the store, the budget and the configuration."""
