"""What a receiver may be bound to, and what is to be said of it when it starts."""

from storage.settings import Settings
from webhook_app.keyring import ENTRIES, TOKEN, Keyring
from webhook_app.locality import is_loopback

API_TOKEN = "WATCHKEEPER_API_TOKEN"  # noqa: S105  (a name)
PUBLIC_URL = "WATCHKEEPER_PUBLIC_URL"
# What stands for all addresses of this machine, to listen on; nobody can connect to it.
EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104


def why_not_bound(host: str, keyring: Keyring) -> str:
    """Why a receiver must not listen there; empty if it may."""
    if is_loopback(host) or not keyring.is_empty:
        return ""
    return (
        f"{host or 'the empty address'} is reachable from elsewhere and no webhook secret is configured: set "
        f"{TOKEN}, or {ENTRIES} with credentials for each source, and have the senders use them"
    )


def notes(settings: Settings, keyring: Keyring) -> list[str]:
    """What an operator should know about who may post and read, and where links lead."""
    said = []
    local = keyring.open_to_this_machine
    if keyring.is_empty:
        said.append(f"no webhook secret is configured ({TOKEN}, {ENTRIES}): only this machine may post")
    elif local:
        said.append(f"only this machine may post as {', '.join(local)}: no {TOKEN}, and no entry in {ENTRIES}")
    if not settings.api_token and not is_loopback(settings.host):
        said.append(f"no {API_TOKEN} is set: only this machine may use the API")
    if settings.host in EVERY_ADDRESS and not settings.public_url:
        said.append(f"no {PUBLIC_URL} is set: links in messages lead to {settings.web_url}, which nobody can open")
    return said
