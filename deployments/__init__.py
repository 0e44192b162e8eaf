"""How Watchkeeper is run: the command line, the warm worker, `up`, deployments and schedules."""
