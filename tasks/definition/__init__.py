"""Pipelines as JSON: their model, what can be wrong with them, the presets, and which delivery goes where."""
