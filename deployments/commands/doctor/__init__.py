"""`watchkeeper doctor`: what stands against this installation, and what to do about it."""
