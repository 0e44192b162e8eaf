"""What is wrong with a provider's config, in words for whoever typed it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from storage.redaction import is_reference
from storage.vocabulary import FailureKind
from tasks.analyze.providers.base import ProviderSettings
from tasks.errors import PermanentError

Fault = Mapping[str, Any]


def check_form(config: type[ProviderSettings], given: Mapping[str, Any]) -> None:
    """Refuse unknown names, missing ones, and values that are wrong as they stand; references pass unread.

    Raises PermanentError naming every such field, never a value.
    """
    try:
        config.model_validate(dict(given))
    except ValidationError as error:
        faults = [fault for fault in _faults(error) if not _is_of_reference(given, fault["loc"])]
        if faults:
            raise PermanentError(_told(faults, config), kind=FailureKind.NOT_SET_UP) from None


def faults_in(error: ValidationError, config: type[ProviderSettings]) -> str:
    """The wrong fields and what is wrong with each, without the values."""
    return _told(_faults(error), config)


def _faults(error: ValidationError) -> Sequence[Fault]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def _is_of_reference(given: Any, path: Sequence[int | str]) -> bool:
    for step in path:
        if is_reference(given):
            return True
        try:
            given = given[step]
        except (LookupError, TypeError):  # what is missing, or a step of pydantic's own
            return False
    return is_reference(given)


def _told(faults: Sequence[Fault], config: type[ProviderSettings]) -> str:
    unknown = [_path(fault) for fault in faults if fault["type"] == "extra_forbidden"]
    said = [f"{_path(fault)}: {_reason(fault)}" for fault in faults if fault["type"] != "extra_forbidden"]
    if unknown:
        names = f"unknown key{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}"
        said.insert(0, f"{names}; known: {', '.join(config.model_fields)}")
    return "; ".join(said)


def _path(fault: Fault) -> str:
    return ".".join(map(str, fault["loc"]))


def _reason(fault: Fault) -> str:
    if fault["type"] == "missing":
        return "is missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message.replace("Input should be", "must be", 1)
