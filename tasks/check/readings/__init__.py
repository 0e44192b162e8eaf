"""How this host and others are read: what checkers and the evidence are made of."""
