"""ICMP's echo messages (RFC 792, RFC 4443)."""

import socket
import struct

PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
MAX_PACKET_BYTES = 2048
TOKEN_BYTES = 24

_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REPLY = {socket.AF_INET: 0, socket.AF_INET6: 129}
_IPV4 = 4
_MAX_16_BITS = 0xFFFF


def echo_request(family: socket.AddressFamily, *, identifier: int, token: bytes) -> bytes:
    """An echo request."""
    header = struct.pack("!BBHHH", _REQUEST[family], 0, 0, identifier, 1)
    # For IPv6 the kernel fills it in, since it covers the addresses as well.
    checksum = checksum_of(header + token) if family == socket.AF_INET else 0
    return header[:2] + struct.pack("!H", checksum) + header[4:] + token


def is_reply(packet: bytes, request: bytes, family: socket.AddressFamily, kind: int) -> bool:
    """Whether a packet is the reply to that request: a raw socket is shown those of all other programs too.

    The kernel may put an id of its own into what is sent through a datagram socket, so there sequence and token
    have to do.
    """
    message = packet
    if family == socket.AF_INET:
        # Only the raw sockets of Linux hand over the IP header, but on macOS all do.
        if packet and packet[0] >> 4 == _IPV4:
            message = packet[(packet[0] & 0x0F) * 4 :]
        if checksum_of(message) != 0:
            return False
    compared_from = 4 if kind == socket.SOCK_RAW else 6
    return message[:2] == bytes([_REPLY[family], 0]) and message[compared_from:] == request[compared_from:]


def checksum_of(message: bytes) -> int:
    """The internet checksum (RFC 1071); 0 over a message that holds its right one."""
    padded = message + b"\x00" * (len(message) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > _MAX_16_BITS:
        total = (total >> 16) + (total & _MAX_16_BITS)
    return ~total & _MAX_16_BITS
