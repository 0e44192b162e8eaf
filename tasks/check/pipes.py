"""One answer through a pipe, awaited neither beyond its end nor for longer than it may take."""

import os
import selectors
import struct
import time

CHUNK_BYTES = 65536
LENGTH = struct.Struct(">Q")  # goes before an answer, in bytes


class Tail:
    """The last of what a process writes beside its answer, all of which is read lest it wait for a reader."""

    def __init__(self, descriptor: int, *, max_bytes: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.content = b""
        self._max_bytes = max_bytes

    def read(self) -> bool:
        """Read what is there now. Whether more may come."""
        try:
            chunk = os.read(self.descriptor, CHUNK_BYTES)
        except BlockingIOError:
            return True
        self.content = (self.content + chunk)[-self._max_bytes :]
        return bool(chunk)


def send(descriptor: int, answer: bytes) -> None:
    """Write the answer, all of it."""
    left = memoryview(LENGTH.pack(len(answer)) + answer)
    while left:
        left = left[os.write(descriptor, left) :]


def receive(descriptor: int, *, until: float, beside: Tail | None = None) -> bytes | None:
    """What was sent. Nothing if the other end was closed before; None if that is not so by `until` (monotonic).

    The answer's end is told by its length, since a process that the sender left behind may hold the pipe open.
    """
    said = bytearray()
    with selectors.PollSelector() as waiting:  # of all selectors that needs no descriptor of its own
        waiting.register(descriptor, selectors.EVENT_READ)
        if beside:
            waiting.register(beside.descriptor, selectors.EVENT_READ)
        while not _is_complete(said):
            seconds_left = until - time.monotonic()
            ready = {key.fd for key, _ in waiting.select(max(0.0, seconds_left))}
            if beside and beside.descriptor in ready and not beside.read():
                waiting.unregister(beside.descriptor)
            if descriptor in ready:
                chunk = os.read(descriptor, CHUNK_BYTES)
                if not chunk:
                    return b""
                said += chunk
            elif seconds_left <= 0:
                return None
    return bytes(said[LENGTH.size :])


def _is_complete(said: bytearray) -> bool:
    return len(said) >= LENGTH.size and len(said) >= LENGTH.size + LENGTH.unpack_from(said)[0]
