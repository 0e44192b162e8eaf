"""From definition to flow: presets, the walk over a definition's nodes, and the relay that starts runs."""
