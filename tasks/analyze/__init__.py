"""The analyze stage: what is probably wrong, and what to do next."""
