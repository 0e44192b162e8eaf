"""The transform stage: take something out of an earlier node's output, for the nodes that come later."""
