"""Whether a process that should end does."""

import os
import signal
import time

import psutil


def is_gone(pid: int) -> bool:
    """Whether it ends soon; a zombie has, though nobody took note of it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    return False
