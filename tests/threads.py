"""The threads in which checkers ask (tasks/check/calls.py)."""

import threading


def is_left_behind(name: str) -> bool:
    """Whether the thread that asked about this goes on after the result."""
    threads = [thread for thread in threading.enumerate() if thread.name == f"check {name}"]
    for thread in threads:
        thread.join(0.3)
    return any(thread.is_alive() for thread in threads)
