"""The work pool that all warm workers share, and the type of worker that it is for."""

WORK_POOL = "watchkeeper"
WORKER_TYPE = "watchkeeper"
