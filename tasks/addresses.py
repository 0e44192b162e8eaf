"""Which addresses a request may be sent to. Pure.

Whoever sets the URL of a webhook would otherwise make this host ask what only it can reach, such as the cloud's
metadata service, which hands out the host's credentials.
"""

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import inet_aton

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Reach(StrEnum):
    """How far a request may go."""

    ANYWHERE = "anywhere"
    # Not to this link's own addresses, nor to the cloud's services for its machines. Loopback is allowed.
    GUARDED = "guarded"
    PUBLIC = "public"


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


# https://www.iana.org/assignments/iana-ipv4-special-registry and its like for IPv6. To connect to an unspecified
# address is to connect to this host itself.
LINK = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10", "ff00::/8"
)
# Metadata and host services that are not link-local. Most clouds have theirs at 169.254.169.254 as well.
METADATA = _networks(
    "168.63.129.16/32",  # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    "100.100.100.200/32",  # Alibaba: https://cloudinit.readthedocs.io/en/latest/reference/datasources/aliyun.html
    "fd00:100::100:200/128",  # Alibaba
    "192.0.0.192/32",  # Oracle's older cloud
    "fd00:c1::a9fe:a9fe/128",  # Oracle: https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm
    "fd00:ec2::/32",  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    "fd20:ce::254/128",  # https://cloud.google.com/compute/docs/metadata/querying-metadata
    "fd00:42::42/128",  # Scaleway: https://cloudinit.readthedocs.io/en/latest/reference/datasources/scaleway.html
    "fd00:a9fe:a9fe::1/128",  # https://techdocs.akamai.com/cloud-computing/docs/metadata-service-api
)
# What Python 3.11 takes for public: site-local addresses (RFC 3879), and a site's own NAT64 (RFC 8215).
PRIVATE = _networks("fec0::/10", "64:ff9b:1::/48")

# Where an IPv6 address carries an IPv4 address to which a gateway or the system passes it on: the four bytes.
_LAST = (12, 13, 14, 15)
EMBEDDINGS: tuple[tuple[Network, tuple[int, ...]], ...] = (
    (ip_network("::/96"), _LAST),  # IPv4-compatible, RFC 4291
    (ip_network("::ffff:0:0:0/96"), _LAST),  # IPv4-translated, RFC 2765
    (ip_network("64:ff9b::/96"), _LAST),  # NAT64, RFC 6052
    (ip_network("64:ff9b:1::/48"), _LAST),
    (ip_network("64:ff9b:1::/48"), (6, 7, 9, 10)),
    (ip_network("2002::/16"), (2, 3, 4, 5)),  # 6to4, RFC 3056
)

# Names by which a proxy would find the metadata service though this host does not.
METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog"})

NEVER = "a link-local or metadata address, where no webhook may go"
NOT_PUBLIC = "a private address, which WATCHKEEPER_BLOCK_PRIVATE_ADDRESSES forbids"


def refusal(address: Address, reach: Reach) -> str | None:
    """What an address is that may not be connected to; None where it may."""
    if reach is Reach.ANYWHERE:
        return None
    meanings = _meanings(address)
    if any(_is_within(each, LINK) or _is_within(each, METADATA) for each in meanings):
        return NEVER
    if reach is Reach.PUBLIC and not all(map(_is_public, meanings)):
        return NOT_PUBLIC
    return None


def literal(host: str) -> Address | None:
    """The address that the host of a URL spells; None for a name.

    The C library reads one number, hexadecimal, octal and short forms too: `2852039166`, `0xa9fea9fe`, `127.1`.
    """
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(inet_aton(host.rstrip(".")))
    except OSError:
        return None


def is_metadata_name(host: str) -> bool:
    """Whether a name is known to lead to a metadata service, wherever it is looked up."""
    return host.rstrip(".").lower() in METADATA_NAMES


def _meanings(address: Address) -> list[Address]:
    """All addresses at which a connection to this one may end."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped:  # to the system it is nothing else
        return [address.ipv4_mapped]
    return [address, *_embedded(address)]


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    if int(address) <= 1:  # unspecified and loopback, which only look IPv4-compatible
        return
    for network, positions in EMBEDDINGS:
        if address in network:
            embedded = IPv4Address(bytes(address.packed[position] for position in positions))
            if int(embedded):  # of the two ways to read a site's own NAT64, the wrong one finds nothing
                yield embedded
    if address.teredo:
        yield from address.teredo


def _is_within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and not _is_within(address, PRIVATE)
