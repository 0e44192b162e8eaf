"""Kinds of providers by name, each imported when it is first looked at.

Those of AI vendors bring an HTTP client and asyncio, and most commands use the local rules alone.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from pkgutil import resolve_name

from tasks.analyze.providers.base import Provider


class Registry(MutableMapping[str, type[Provider]]):
    """Classes by kind. Names, their order and their number cost no import."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._kinds: dict[str, str | type[Provider]] = dict(paths)

    def __getitem__(self, kind: str) -> type[Provider]:
        known = self._kinds[kind]
        if isinstance(known, str):
            known = self._kinds[kind] = resolve_name(known)
        return known

    def __contains__(self, kind: object) -> bool:
        return kind in self._kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def __setitem__(self, kind: str, provider: type[Provider]) -> None:
        self._kinds[kind] = provider

    def __delitem__(self, kind: str) -> None:
        del self._kinds[kind]
