"""The check stage: measure this host and say how it is."""
