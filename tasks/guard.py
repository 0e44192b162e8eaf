"""The guard of the outbound door: what may be connected to is decided on the address, after the look-up.

A name is looked up once, and it is the checked address that is connected to, so a name server that changes its
answer gains nothing. TLS and the Host header go on by the name.
"""

from ipaddress import ip_address

import httpcore
import httpx

from tasks.addresses import NEVER, Reach, is_metadata_name, literal, refusal
from tasks.deadline import DeadlineBackend, look_up
from tasks.errors import PermanentError

# Behind a proxy, names of the outside are often not to be found, and some name servers never say so.
PROXIED_LOOK_UP_SECONDS = 2.0


class GuardedBackend(DeadlineBackend):
    """Connects to no address beyond its reach; raises PermanentError where a host has no other."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def _addresses_of(self, host: str, port: int, timeout: float | None) -> list[str]:
        found = super()._addresses_of(host, port, timeout)
        refusals = {address: refusal(ip_address(address), self._reach) for address in found}
        allowed = [address for address, refused in refusals.items() if refused is None]
        if not allowed:
            raise PermanentError(f"{host} leads to {refusals[found[0]]}")
        return allowed


class GuardedProxy(httpx.BaseTransport):
    """A proxy of the operator's, which is asked only for hosts within reach.

    The proxy looks the name up by itself. So this catches addresses, well-known names, and what is looked up here
    as the proxy would, but not a name server that answers the two differently: that is the proxy's to refuse.
    """

    def __init__(self, proxy: httpx.BaseTransport, reach: Reach) -> None:
        self._proxy = proxy
        self._reach = reach

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request by the proxy."""
        refuse_host(request.url.raw_host.decode("ascii"), self._reach)
        return self._proxy.handle_request(request)

    def close(self) -> None:
        """Close the proxy's connections."""
        self._proxy.close()


def refuse_host(host: str, reach: Reach) -> None:
    """Raise PermanentError for a host of which anything is beyond reach, as far as can be told from here.

    For what connects by itself. A name that cannot be looked up passes.
    """
    if reach is Reach.ANYWHERE:
        return
    if is_metadata_name(host):
        raise PermanentError(f"{host} leads to {NEVER}")
    spelled = literal(host)
    try:
        addresses = [spelled] if spelled else map(ip_address, look_up(host, 0, PROXIED_LOOK_UP_SECONDS))
    except (httpcore.ConnectError, httpcore.TimeoutException, UnicodeError):
        return
    for address in addresses:
        if refused := refusal(address, reach):
            raise PermanentError(f"{host} leads to {refused}")
