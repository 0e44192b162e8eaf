"""Asking a time server for the time: a client of SNTP (RFC 4330), the simple form of NTP (RFC 5905)."""

import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

PORT = 123
MAX_ADDRESSES = 4
# Leap, version and mode; stratum; poll; precision; root delay; root dispersion; reference id; and the times of
# reference, origin, receipt and sending. What may follow (extensions, a signature) is not read.
PACKET = struct.Struct("!BBbbiI4sQQQQ")
REQUEST_HEAD = 0x23  # leap 0, version 4, mode 3 (client)
SERVER_MODE = 4
UNSYNCHRONISED_LEAP = 3
MAX_STRATUM = 15
# From 1900, where NTP counts from, to 1970.
EPOCH_SECONDS = 2_208_988_800
ERA_SECONDS = 2**32
# RFC 5905 (MAXDIST): a server further away than this, in time, cannot be told from a wrong one.
MAX_DISTANCE_SECONDS = 1.5


class ServerError(Exception):
    """A server answers, but has no time to give; the message says why."""


@dataclass(frozen=True)
class Sample:
    """One server's word. `offset_seconds` is what has to be added to this host's clock."""

    offset_seconds: float
    round_trip_seconds: float
    stratum: int


def ask(host: str, port: int, *, timeout_seconds: float) -> Sample:
    """What a server says, by the first of its addresses that answers properly.

    Raises OSError (TimeoutError too) or ServerError.
    """
    until = time.monotonic() + timeout_seconds
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[:MAX_ADDRESSES]
    failure: Exception = ServerError("has no address")
    for index, (family, _, _, _, address) in enumerate(found):
        share_seconds = (until - time.monotonic()) / (len(found) - index)
        try:
            return _ask_address(family, address, time.monotonic() + share_seconds)
        except (OSError, ServerError) as error:
            failure = error
    raise failure


def _ask_address(family: int, address: Any, until: float) -> Sample:
    # Nobody who does not see the request can answer with this. It is random rather than the time, as
    # RFC 4330 allows, and so also tells nobody what this clock says.
    stamp = secrets.randbits(64)
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.connect(address)  # so that packets from elsewhere, and ICMP's refusals, are told apart
        sent_at, started = time.time(), time.monotonic()
        connection.send(PACKET.pack(REQUEST_HEAD, *[0] * 5, b"", *[0] * 3, stamp))
        while True:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            packet = connection.recv(1024)
            elapsed_seconds = time.monotonic() - started
            if len(packet) >= PACKET.size and PACKET.unpack_from(packet)[8] == stamp:
                return _read(packet, sent_at, elapsed_seconds)
            if time.monotonic() >= until:
                raise TimeoutError


def _read(packet: bytes, sent_at: float, elapsed_seconds: float) -> Sample:
    head, stratum, _, _, root_delay, root_dispersion, reference, _, _, receipt, sending = PACKET.unpack_from(
        packet
    )
    if head & 0b111 != SERVER_MODE:
        raise ServerError("answers in another mode than a server's")
    if stratum == 0:
        code = reference.rstrip(b"\0").decode("ascii", "replace")
        raise ServerError(f"refuses to be asked ({code if code.isalnum() else 'no reason given'})")
    if head >> 6 == UNSYNCHRONISED_LEAP or stratum > MAX_STRATUM or not receipt or not sending:
        raise ServerError("does not know the time itself")
    received_by_server, sent_by_server = _unix_seconds(receipt), _unix_seconds(sending)
    round_trip_seconds = max(0.0, elapsed_seconds - (sent_by_server - received_by_server))
    if (round_trip_seconds + root_delay / 2**16) / 2 + root_dispersion / 2**16 > MAX_DISTANCE_SECONDS:
        raise ServerError("is too far away from the true time, or from this host")
    # The mean of the way there and the way back; this clock may be set meanwhile, so it is read but once.
    offset_seconds = ((received_by_server - sent_at) + (sent_by_server - (sent_at + elapsed_seconds))) / 2
    return Sample(offset_seconds, round_trip_seconds, stratum)


def _unix_seconds(stamp: int) -> float:
    """Seconds since 1970 of an NTP time, which starts from 0 again in 2036 (RFC 4330, section 3)."""
    seconds, fraction = stamp >> 32, stamp % 2**32
    era = 0 if seconds >= ERA_SECONDS // 2 else 1
    return seconds + era * ERA_SECONDS - EPOCH_SECONDS + fraction / 2**32
