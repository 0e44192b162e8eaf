"""A server's address in a config: `host`, `host:port` or `[IPv6]:port`."""

import re

MAX_PORT = 65_535
NAME = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
# A name or an IPv4 address, or an IPv6 address in brackets; then a port.
ADDRESS = re.compile(rf"(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]|({NAME}))(?::([0-9]{{1,5}}))?")


def parse(text: str, *, default_port: int) -> tuple[str, int]:
    """Host and port; ValueError for anything else."""
    found = ADDRESS.fullmatch(text)
    port = int((found and found[3]) or default_port)
    if not found or not 0 < port <= MAX_PORT:
        raise ValueError("neither host nor host:port; an IPv6 address stands in brackets")
    return found[1] or found[2], port


def shown(host: str, port: int) -> str:
    """An address as `parse` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
