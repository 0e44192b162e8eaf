"""The fixed rules by which the local provider answers."""
