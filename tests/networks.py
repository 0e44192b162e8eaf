"""A network of a test's own, and what there is on loopback.

said = in_own_network("import socket; print(socket.create_server(('0.0.0.0', 80)))")
"""

import functools
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IPV6_ADDRESSES = Path("/proc/net/if_inet6")

needs_ipv6 = pytest.mark.skipif(
    not IPV6_ADDRESSES.exists() or "00000001 01" not in IPV6_ADDRESSES.read_text(), reason="this host has no ::1"
)


@functools.cache
def has_namespaces() -> bool:
    """Whether a network of one's own can be made: it takes root, unshare and ip."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    command = ["unshare", "-n", "ip", "link", "set", "lo", "up"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def in_own_network(program: str, *arguments: str, setup: str = "true", path: str | None = None) -> str:
    """What a Python program prints in a network of its own, where only loopback is up.

    `setup` are shell commands that come before, and `path` is a folder that comes first on PATH.
    """
    if not has_namespaces():
        pytest.skip("needs root, unshare and ip")
    shell = f'ip link set lo up; {setup}; exec "$@"'
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", shell, "sh", sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def closed_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])
