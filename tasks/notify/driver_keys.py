"""The keys of a driver's config: what they are, which of them are secrets, and how a config may be shown."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, cast, get_args
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic_core import to_jsonable_python

from storage.records import Record
from storage.redaction import MASK, is_reference, redact
from tasks.notify.channels import CHANNELS
from tasks.notify.channels.base import DriverConfig
from tasks.secrets import NAME_MAPS


class DriverKey(Record):
    """One key of a config. `default` holds where it is left out; what `is_secret` is never shown."""

    name: str
    is_required: bool
    is_secret: bool
    default: Any = None


def keys_of(kind: str) -> list[DriverKey]:
    """The keys of a driver that there is, in their order."""
    secret = _secret_names(kind)
    return [
        DriverKey(
            name=name,
            is_required=field.is_required(),
            is_secret=name in secret,
            default=None
            if field.is_required()
            else to_jsonable_python(field.get_default(call_default_factory=True)),
        )
        for name, field in config_of(kind).model_fields.items()
    ]


def shown_config(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without its secrets: what the driver declares as one is hidden whatever it looks like.

    Of a web address its host stays, which our errors name too; references are shown as they are.
    """
    shown: dict[str, Any] = dict(redact(config))
    for name in _secret_names(kind) & config.keys():
        shown[name] = _hidden(name, config[name])
    return shown


def clear_text_paths(kind: str, config: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where the config holds secrets themselves in place of references, as the path of keys."""
    secret = _secret_names(kind)
    for name, value in config.items():
        if name in NAME_MAPS and isinstance(value, Mapping):
            yield from ((name, str(inner)) for inner, held in value.items() if _is_hidden(str(inner), held))
        elif _is_hidden(name, value) or (name in secret and _is_opaque(value)):
            yield (name,)


def masked_paths(config: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    """Where it holds the mask that stands for a secret where configs are shown, and the `stored` one does not."""
    yield from _masked(config, stored, "")


def config_of(kind: str) -> type[DriverConfig]:
    """What a driver's config must look like."""
    # On the class, Config is the nested class itself; see channels/base.py.
    return cast("type[DriverConfig]", CHANNELS[kind].Config)


def _secret_names(kind: str) -> set[str]:
    if kind not in CHANNELS:
        return set()
    return {name for name, field in config_of(kind).model_fields.items() if _holds_secret(field.annotation)}


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _hidden(name: str, value: Any) -> Any:
    if isinstance(value, Mapping) and (name in NAME_MAPS or not is_reference(value)):
        return {inner: _hidden("", held) for inner, held in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden("", held) for held in value]
    if value is None or is_reference(value):
        return value
    return _host_of(value) or MASK


def _host_of(value: Any) -> str:
    """A web address with nothing after its host; empty for anything else."""
    if not isinstance(value, str):
        return ""
    try:
        parts = urlsplit(value)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{host}{port}/{MASK}" if parts.scheme in {"http", "https"} and host else ""


def _is_hidden(name: str, value: Any) -> bool:
    return bool(redact({name: value}) != {name: value})


def _is_opaque(value: Any) -> bool:
    return isinstance(value, str) and not _host_of(value)


def _masked(value: Any, stored: Any, path: str) -> Iterator[str]:
    if isinstance(value, str):
        # Counted, since a text may well hold the mask's characters and a secret.
        if value.count(MASK) > (stored.count(MASK) if isinstance(stored, str) else 0):
            yield path
    elif isinstance(value, Mapping):
        held = stored if isinstance(stored, Mapping) else {}
        for name, inner in value.items():
            inner_path = f"{path}.{name}" if path else name
            if MASK in name and name not in held:
                yield inner_path
            yield from _masked(inner, held.get(name), inner_path)
    elif isinstance(value, list):
        known = stored if isinstance(stored, list) else []
        for index, (inner, old) in enumerate(zip_longest(value, known[: len(value)])):
            yield from _masked(inner, old, f"{path}[{index}]")
