"""Who holds a run: an id that tells a dead process of this machine from a live one."""

import os
import socket
from functools import cache
from pathlib import Path
from uuid import uuid4

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE = Path("/proc/self/ns/pid")


@cache
def machine() -> str:
    """This machine since its last start, seen from this pid namespace; empty where that cannot be told."""
    try:
        return f"{BOOT_ID.read_text().strip()[:13]}.{PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return ""


@cache
def this_process() -> str:
    """The owner id of this process: host, machine, pid, start, and a part of chance."""
    started = int(psutil.Process().create_time())
    return f"{socket.gethostname()[:40]}|{machine()}|{os.getpid()}|{started}|{uuid4().hex[:8]}"


def is_dead(owner: str) -> bool:
    """Whether an owner was a process of this very machine and is gone. Unknown counts as alive."""
    parts = owner.split("|")
    if len(parts) != 5 or not machine() or parts[1] != machine():  # noqa: PLR2004  (the parts above)
        return False
    try:
        return int(psutil.Process(int(parts[2])).create_time()) != int(parts[3])
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
