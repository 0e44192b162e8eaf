"""`watchkeeper providers`: the saved AI providers, of which at most one is active."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from cyclopts import App, Parameter
from pydantic_core import to_jsonable_python

from deployments.commands.check_output import plain, print_lines, print_table
from deployments.commands.saved_config import read_config, warn_of_clear_text
from deployments.errors import WrongUseError
from deployments.installed import installed_database
from storage import providers as provider_rows
from storage.records import ProviderConfig
from storage.redaction import redact, redact_text
from storage.settings import load
from storage.tables import IntelligenceProvider
from tasks.errors import PermanentError, TransientError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.text import Text

NAME_MAX_CHARS = 128
DEFAULT_PORTS = {"http": 80, "https": 443}
READABLE_WHERE = "a secret must be there for this command, and also where the worker runs (`watchkeeper up`)"

Config = Annotated[
    str,
    Parameter(
        help="Its config as JSON; - reads it from standard input. Keys are model, base_url, api_key and more: "
        "`watchkeeper providers keys KIND` lists them. Give secrets as references: "
        '{"env": "NAME"} or {"file": "PATH"}.',
        allow_leading_hyphen=True,
    ),
]

providers = App(name="providers")


@providers.command
def add(
    name: str,
    /,
    *,
    provider: Annotated[str, Parameter(help="A kind: get-recommendations --list-providers lists them.")],
    config: Config = "{}",
    description: str = "",
    activate: Annotated[bool, Parameter(help="Make it the active one.", negative="")] = False,
) -> None:
    """Save a provider.

    Without an api_key in its config the key is that of the vendor's variable, such as OPENAI_API_KEY. Secrets
    must be readable here, as they must be where Watchkeeper runs. Nobody is asked: `providers test` does that.
    """
    if not name.strip() or len(name) > NAME_MAX_CHARS:
        raise WrongUseError(f"the name must be text of 1 to {NAME_MAX_CHARS} characters")
    wanted = read_config(config)
    _check(provider, wanted)
    with installed_database(load()) as database, database.write() as session:
        provider_rows.add_provider(session, name=name, provider=provider, config=wanted, description=description)
        if activate:
            provider_rows.activate(session, name)
    warn_of_clear_text(_clear_text_paths(wanted))
    print_lines([f"added provider {name}{', which is active now' if activate else ''}"])


@providers.command(name="list")
def list_all() -> None:
    """List the saved providers, without their secrets."""
    with installed_database(load()) as database, database.read() as session:
        rows = provider_rows.list_providers(session)
    if not rows:
        print_lines(["no provider is saved: the local rules answer"])
        return
    print_table(("name", "provider", "active", "config", "description"), [_cells(row) for row in rows])


@providers.command
def activate(name: str, /) -> None:
    """Let a provider answer for every run whose definition names none, instead of any other."""
    with installed_database(load()) as database, database.write() as session:
        row = _found(provider_rows.find(session, name), name)
        _check(row.provider, row.config)
        provider_rows.activate(session, name)
    print_lines([f"provider {name} is active"])


@providers.command
def deactivate() -> None:
    """Let no provider be active: the local rules answer."""
    with installed_database(load()) as database, database.write() as session:
        count = provider_rows.deactivate(session)
    print_lines(["no provider is active: the local rules answer" if count else "no provider was active"])


@providers.command
def edit(name: str, /, *, config: Config | None = None, description: str | None = None) -> None:
    """Replace a provider's config as a whole, its description, or both."""
    if config is None and description is None:
        raise WrongUseError("name what is to change: --config, --description, or both")
    wanted = None if config is None else read_config(config)
    with installed_database(load()) as database, database.write() as session:
        row = _found(provider_rows.find(session, name), name)
        if wanted is not None:
            _check(row.provider, wanted)
        provider_rows.edit_provider(session, name, config=wanted, description=description)
    warn_of_clear_text(_clear_text_paths(wanted or {}))
    changed = [what for what, new in (("config", config), ("description", description)) if new is not None]
    print_lines([f"provider {name} has its new {' and '.join(changed)}"])


@providers.command
def remove(name: str, /) -> None:
    """Forget a provider. What it answered stays."""
    with installed_database(load()) as database, database.write() as session:
        row = _found(provider_rows.find(session, name), name)
        was_active = row.is_active
        provider_rows.remove_provider(session, name)
    print_lines([f"removed provider {name}{': the local rules answer now' if was_active else ''}"])


@providers.command
def keys(kind: str, /) -> None:
    """List the keys of a kind's config, with what holds where they are left out."""
    from tasks.analyze.providers import PROVIDERS  # noqa: PLC0415  (keeps --help fast)

    if kind not in PROVIDERS:
        raise WrongUseError(f"{kind!r} is none of {', '.join(PROVIDERS)}")
    provider = PROVIDERS[kind]
    defaults = {**_field_defaults(provider.Config), **provider.defaults()}
    print_table(("key", "default"), [(key, plain(_shown(default))) for key, default in defaults.items()])


@providers.command
def test(name: str, /) -> None:
    """Ask a provider something small: it costs some hundred tokens, and tells it nothing about this host."""
    from tasks.analyze.trial import told_tokens, try_provider  # noqa: PLC0415  (keeps --help fast)

    with installed_database(load()) as database:
        with database.read() as session:
            row = _found(provider_rows.find(session, name), name)
        provider = ProviderConfig(name=name, provider=row.provider, config=row.config)
        with _named(provider):
            tried = try_provider(provider)
    analysis = tried.analysis
    print_table(
        (),
        [
            ("model", plain(analysis.model_name)),
            ("tokens", told_tokens(analysis)),
            ("duration", f"{tried.seconds:.1f} s"),
            ("answer", plain(analysis.summary)),
        ],
        before=plain(f"{name} answered", "green"),
    )


@contextmanager
def _named(provider: ProviderConfig) -> Iterator[None]:
    """Name the provider in what goes wrong, and where it is asked."""
    try:
        yield
    except (PermanentError, TransientError) as error:
        told = f"{provider.name} ({_whereabouts(provider)}): {error}"
        raise type(error)(told, kind=error.kind) from None


def _whereabouts(provider: ProviderConfig) -> str:
    """Its kind with host and port, never a login or a path, which may be secrets."""
    from tasks.analyze.providers import PROVIDERS  # noqa: PLC0415  (keeps --help fast)

    field = PROVIDERS[provider.provider].Config.model_fields.get("base_url")
    url = provider.config.get("base_url", field.default if field else "")
    try:
        parts = urlsplit(url if isinstance(url, str) else "")  # a reference says nothing of it
        place = f"{parts.hostname}:{parts.port or DEFAULT_PORTS[parts.scheme]}" if parts.hostname else ""
    except (ValueError, KeyError):
        place = ""
    return f"{provider.provider} at {place}" if place else provider.provider


def _check(kind: str, config: Mapping[str, Any]) -> None:
    """Refuse what could not be asked. Raises as `build` does."""
    from tasks.analyze.providers import UnreadableSecretError, build  # noqa: PLC0415  (keeps --help fast)

    try:
        build(kind, config)
    except UnreadableSecretError as error:
        raise PermanentError(f"{error}; {READABLE_WHERE}") from None


def _clear_text_paths(config: Mapping[str, Any]) -> Iterator[tuple[str]]:
    return ((key,) for key, value in config.items() if redact({key: value}) != {key: value})


def _field_defaults(config: "type[BaseModel]") -> dict[str, Any]:
    fields = config.model_fields.items()
    return {key: "must be given" if field.is_required() else field.get_default() for key, field in fields}


def _shown(default: Any) -> str:
    if isinstance(default, str):
        return default
    return json.dumps(to_jsonable_python(default))


def _found(row: IntelligenceProvider | None, name: str) -> IntelligenceProvider:
    if row is None:
        raise PermanentError(f"there is no provider {name!r}: `watchkeeper providers list` lists them")
    return row


def _cells(row: IntelligenceProvider) -> tuple["Text", ...]:
    shown = json.dumps(redact(row.config), ensure_ascii=False)
    is_active = "yes" if row.is_active else "no"
    return tuple(plain(cell) for cell in (row.name, row.provider, is_active, shown, redact_text(row.description)))
