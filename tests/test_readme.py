"""The README's tables say what the registries hold."""

import re
from pathlib import Path

import pytest

from flows.presets import PRESETS
from storage.settings import Settings
from tasks.analyze.providers import PROVIDERS
from tasks.check.checkers import CHECKERS
from tasks.ingest.sources import SOURCES
from tasks.notify.channels import CHANNELS
from webhook_app.app import create_app

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")


def first_column(heading: str) -> list[str]:
    """The first cells of the table whose first heading is this."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", README, re.MULTILINE)
    assert found, f"no table {heading!r}"
    return [line.split("|")[1].strip() for line in found[1].splitlines()]


@pytest.mark.parametrize(
    ("heading", "registry"),
    [
        ("preset", PRESETS),
        ("sources", SOURCES),
        ("checkers", CHECKERS),
        ("providers", PROVIDERS),
        ("channels", CHANNELS),
    ],
)
def test_table_lists_the_registry(heading: str, registry: object) -> None:
    assert first_column(heading) == list(registry)


def test_table_lists_every_setting() -> None:
    names = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = getattr(alias, "choices", [alias] if alias else [f"WATCHKEEPER_{name.upper()}"])
        names.append(str(choices[0]))

    assert sorted(first_column("variable")) == sorted(names)


def test_table_lists_every_endpoint(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'x.db'}"))
    rules = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST", "DELETE"}
        if rule.endpoint != "static"
    }

    listed = " ".join(first_column("method and path"))

    for rule in rules:
        assert rule.split(" ")[1].replace("<string:", "<") in listed, rule
