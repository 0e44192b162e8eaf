"""The README's tables say what the registries hold."""

import re
from pathlib import Path

import pytest

from deployments.commands.doctor.checks import CHECKS
from storage.settings import Settings
from tasks.analyze.evaluation.case import TOPICS, load_cases
from tasks.analyze.evaluation.score import score
from tasks.analyze.providers import PROVIDERS
from tasks.analyze.providers.local import Local
from tasks.check.checkers import CHECKERS
from tasks.definition.presets import PRESETS
from tasks.ingest.sources import SOURCES
from tasks.notify.channels import CHANNELS
from webhook_app.app import create_app
from webhook_app.console.menu import GROUPS
from webhook_app.console.views import VIEWS
from webhook_app.metrics import METRICS

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
        ("check", CHECKS),
        ("metric", METRICS),
    ],
)
def test_table_lists_the_registry(heading: str, registry: object) -> None:
    assert first_column(heading) == list(registry)


def test_table_says_of_each_checker_what_the_command_says() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines()]
    told = {row[0]: row[1:] for row in rows if len(row) == 3}  # name, measures, thresholds

    for name, checker in CHECKERS.items():
        measures, limits = told[name]
        warning, critical = checker.Config().thresholds
        assert measures == checker.measures
        assert not limits if warning is None else f"{warning:g}, {critical:g}" in limits


def test_score_of_the_local_rules_is_what_they_score() -> None:
    verdicts = [
        (case.topic, score(case, PROVIDERS["local"](Local.Config()).analyze(case.request)))
        for case in load_cases()
    ]
    rows = [line.strip("| ").split(" | ") for line in README.splitlines()]
    told = {
        row[0]: [int(cell) for cell in row[1:]] for row in rows if row[0] in (*TOPICS, "all") and len(row) == 5
    }

    assert told == {
        topic: [
            len(some := [verdict for of, verdict in verdicts if topic in (of, "all")]),
            sum(verdict.type_is_right for verdict in some),
            sum(verdict.cause_is_named for verdict in some),
            sum(verdict.nothing_is_invented for verdict in some),
        ]
        for topic in (*TOPICS, "all")
    }


def test_table_says_of_each_list_of_the_console_what_may_be_done() -> None:
    names = {endpoint: name for _, items in GROUPS for endpoint, name in items}
    views = {names[view.endpoint]: view for view in (each() for each in VIEWS)}
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines()]
    told = {row[0]: row[2] for row in rows if len(row) == 3 and row[0] in views}  # list, its rows, actions

    assert first_column("list") == [name for name in names.values() if name in views]
    assert told == {name: ", ".join(each.label for each in view.row_actions) for name, view in views.items()}


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
        if rule.endpoint != "static" and not rule.rule.startswith("/admin/")  # pages link to each other
    }

    listed = " ".join(first_column("method and path"))

    for rule in rules:
        assert rule.split(" ")[1].replace("<string:", "<") in listed, rule
