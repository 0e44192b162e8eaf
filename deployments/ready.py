"""How the worker tells its supervisor that it has begun: it writes the file that this variable names."""

READY_FILE = "WATCHKEEPER_WORKER_READY_FILE"
