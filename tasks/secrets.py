"""Where a config refers to secrets that live elsewhere, and the one place that resolves them (design.md, 5).

`{"env": "NAME"}` is an environment variable, `{"file": "PATH"}` a file's text without its trailing newline,
`{"prefect": "BLOCK"}` the value of a Prefect Secret block. Only a dict with exactly that one entry, and a
string in it, is a reference.

One place is exempt: the field `headers` at the top of a config maps names to values, so it is never itself a
reference, and `{"headers": {"env": "production"}}` is a header called env. Its values may be references.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

from storage.redaction import is_reference
from tasks.check.calls import Call, HungError
from tasks.errors import PermanentError, TransientError

MAX_FILE_BYTES = 64 * 1024
# Prefect's client waits for minutes, and tries again and again.
MAX_LOAD_SECONDS = 10.0
NAME_MAPS = frozenset({"headers"})


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the config with the value in place of every reference.

    Raises PermanentError where a reference leads nowhere, TransientError where Prefect's server cannot be
    reached or takes longer than MAX_LOAD_SECONDS. Both name the field and the reference, never a value.
    """
    return {
        name: _resolve_entries(value, name) if _is_name_map(name, value) else _resolve_value(value, name)
        for name, value in config.items()
    }


def _is_name_map(name: str, value: Any) -> bool:
    return name in NAME_MAPS and isinstance(value, Mapping)


def _resolve_value(value: Any, path: str) -> Any:
    if is_reference(value):
        ((kind, target),) = value.items()
        return _READERS[kind](target, path)
    if isinstance(value, Mapping):
        return _resolve_entries(value, path)
    if isinstance(value, list | tuple):
        return [_resolve_value(entry, f"{path}[{index}]") for index, entry in enumerate(value)]
    return value


def _resolve_entries(mapping: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {name: _resolve_value(value, f"{path}.{name}") for name, value in mapping.items()}


def _read_environment(name: str, path: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise PermanentError(f"{path}: environment variable {name!r} is not set")
    return value


def _read_file(name: str, path: str) -> str:
    fault = f"{path}: secret file {name!r}"
    try:
        if not Path(name).is_file():  # reading a pipe or a device would hang, or never end
            raise PermanentError(f"{fault} is not there, or is no regular file")
        with Path(name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise PermanentError(f"{fault} cannot be read: {reason}") from None
    if len(content) > MAX_FILE_BYTES:
        raise PermanentError(f"{fault} is longer than {MAX_FILE_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:  # its message quotes the content, so it must not be chained
        raise PermanentError(f"{fault} is not UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")


def _read_prefect_block(name: str, path: str) -> Any:
    # Importing Prefect takes 2 s, which the command line must not pay for (design.md, section 4).
    from prefect.blocks.system import Secret  # noqa: PLC0415

    fault = f"{path}: Prefect Secret block {name!r}"
    try:
        # _sync: within an async flow, load would otherwise return a coroutine. The context holds the settings.
        load: Any = partial(copy_context().run, partial(Secret.load, name, _sync=True))  # type: ignore[call-arg]
        block: Any = Call(load, name="secret").result(until=time.monotonic() + MAX_LOAD_SECONDS)
    except ValueError:  # Prefect's word for a block that is not there, or does not hold what it should
        raise PermanentError(f"{fault} cannot be loaded") from None
    except HungError:
        raise TransientError(f"{fault}: Prefect's server did not answer within {MAX_LOAD_SECONDS:g} s") from None
    except Exception as error:  # noqa: BLE001  an edge: whatever else fails here is the way to Prefect's server
        raise TransientError(f"{fault}: Prefect's server did not give it ({type(error).__name__})") from None
    # Not Secret.get(), which parses JSON and so turns the password "007" into a number.
    return block.value.get_secret_value()


_READERS: dict[str, Callable[[str, str], Any]] = {
    "env": _read_environment,
    "file": _read_file,
    "prefect": _read_prefect_block,
}
