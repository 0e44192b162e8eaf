"""A steady load: so many posts a second over a few kept connections, whatever the answers take.

Run as a program it reads a job as JSON from standard input, posts until a line comes there, and prints what came
of it as JSON. A latency counts from when the post was due: one that waits behind a slow one counts as slow.
"""

import json
import selectors
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from load import STUCK_SECONDS, Connection, Load, request_bytes


class SteadyLoad:
    """A load that goes on from `start` until `stop`."""

    def __init__(self, *, port: int, path: str, body: bytes, connections: int, per_second: float) -> None:
        job = {"port": port, "path": path, "body": body.decode(), "connections": connections}
        self._job = json.dumps({**job, "per_second": per_second}).encode() + b"\n"

    def start(self) -> None:
        """Begin to post."""
        command = [sys.executable, str(Path(__file__))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin is not None
        self._process.stdin.write(self._job)
        self._process.stdin.flush()

    def stop(self) -> Load:
        """End it, and say what came of it."""
        said, _ = self._process.communicate(b"stop\n", timeout=STUCK_SECONDS)
        return Load(**json.loads(said))


def drive(*, port: int, path: str, body: str, connections: int, per_second: float) -> dict[str, object]:
    """Post until standard input says stop. A post that is due takes the first connection that is free."""
    request = request_bytes(port, path, body.encode())
    free = deque(Connection(port) for _ in range(connections))
    due_at: dict[Connection, float] = {}
    latencies: list[float] = []
    statuses: dict[str, int] = {}
    is_over = False
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        began_at, began_cpu = time.monotonic(), time.process_time()
        next_at = began_at
        while not is_over or due_at:
            while free and not is_over and time.monotonic() >= next_at:
                connection = free.popleft()
                due_at[connection], next_at = next_at, next_at + 1 / per_second
                selector.register(connection.socket, selectors.EVENT_READ, connection)
                connection.send(request)
            wait = STUCK_SECONDS if is_over or not free else max(0.0, next_at - time.monotonic())
            for key, _ in selector.select(wait):
                if key.data is None:
                    is_over = True
                    selector.unregister(sys.stdin)
                elif answer := key.data.receive():
                    statuses[answer[0]] = statuses.get(answer[0], 0) + 1
                    latencies.append((time.monotonic() - due_at.pop(key.data)) * 1000)
                    selector.unregister(key.data.socket)
                    free.append(key.data)
        ended_at = time.monotonic()
    share = (time.process_time() - began_cpu) / (ended_at - began_at)
    return {
        "began_at": began_at,
        "ended_at": ended_at,
        "core_share": share,
        "latencies_ms": latencies,
        "statuses": statuses,
    }


def main() -> None:
    json.dump(drive(**json.loads(sys.stdin.readline())), sys.stdout)


if __name__ == "__main__":
    main()
