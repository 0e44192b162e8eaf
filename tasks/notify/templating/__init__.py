"""Templates: how a channel names one, the sandbox they run in, and the process around that."""
