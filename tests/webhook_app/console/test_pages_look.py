"""Every page in a real browser, dark and light, wide and on a phone: it is whole, fits, and all can read it.

WATCHKEEPER_SCREENSHOTS names a folder for the pictures (`make screenshots`).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from console_visitor import NAME, SIZES, Visitor
from flask import Flask
from playwright.sync_api import Page

from webhook_app.console.menu import GROUPS
from webhook_app.console.views import VIEWS

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
GRAVE = {"serious", "critical"}
AXE = Axe()

# What only takes forms, or gives files or JSON, is no page.
NOT_PAGES = re.compile(r"run_by_id|\.(static|export|action_view)$")
# Pages that are more than one, or need more than their path, by endpoint; of a list's rows it is the first.
ASKED: dict[str, tuple[str, ...]] = {
    "dashboard.index": ("/admin/", "/admin/?period=7d"),
    "definition_rows.create_view": ("/admin/definitions/new/",),
    "definition_rows.edit_view": ("/admin/definitions/edit/?id=1",),
    "definition_rows.run_view": ("/admin/definitions/run/?id=1",),
    "definition_rows.try_view": ("/admin/definitions/try/?id=1",),
    "definition_rows.version_view": ("/admin/definitions/version/?id=1&version=1",),
    "run_rows.details_view": tuple(f"/admin/runs/details/?id={pk}" for pk in (1, 2, 4)),
    "notification_rows.details_view": ("/admin/notifications/details/?id=9",),
}
MORE = {
    "search-found": "/admin/search/?q=00000000000000000000000000000001",
    "search-nothing": "/admin/search/?q=nothing-of-that-name",
    "list-narrowed-down": "/admin/alerts/?status=firing&severity=critical",
    "list-without-rows": "/admin/alerts/?source=nowhere",
    "list-with-a-fault": "/admin/alerts/?incident=x",
    "not-found": "/admin/no-such-page/",
}
# What is answered otherwise than 200.
STATUSES = {"list-with-a-fault": 400, "not-found": 404}


@pytest.fixture(scope="module")
def paths(filled_console: Flask) -> dict[str, str]:
    """Every page by its name."""
    return dict(_pages(filled_console))


def _pages(app: Flask) -> Iterator[tuple[str, str]]:
    for rule in app.url_map.iter_rules():
        if (
            not rule.rule.startswith("/admin/")
            or "GET" not in (rule.methods or ())
            or (NOT_PAGES.search(rule.endpoint) and rule.endpoint not in ASKED)
        ):
            continue
        name = rule.endpoint.replace("_rows.index_view", "-list").replace("_rows.details_view", "-details")
        usual = f"{rule.rule}?id=1" if rule.endpoint.endswith(".details_view") else rule.rule
        for number, path in enumerate(ASKED.get(rule.endpoint, (usual,)), start=1):
            yield f"{name.replace('.', '-')}{'' if number == 1 else f'-{number}'}", path
    yield from MORE.items()


def test_every_list_is_in_the_menu() -> None:
    named = {endpoint for _, items in GROUPS for endpoint, _ in items} - {"dashboard"}

    assert named == {view().endpoint for view in VIEWS}


class Watcher:
    """What goes wrong while a page loads: errors, what the policy forbids, requests that fail."""

    def __init__(self, page: Page) -> None:
        self.faults: list[str] = []
        page.on(
            "console", lambda said: self.faults.append(said.text) if said.type in {"error", "warning"} else None
        )
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("requestfailed", lambda request: self.faults.append(f"{request.url}: {request.failure}"))

    def take(self) -> list[str]:
        """What went wrong since; a page that is not there says so in the console, and may."""
        faults = [fault for fault in self.faults if "Failed to load resource: the server responded" not in fault]
        self.faults.clear()
        return faults


@pytest.mark.parametrize("size", SIZES)
def test_every_page_is_whole_in_both_looks(
    size: str, operator: Visitor, paths: dict[str, str], folder: Path
) -> None:
    found: dict[str, list[str]] = {}
    with operator.page(size) as page:
        watcher = Watcher(page)
        for name, path in paths.items():
            answer = page.goto(path)
            if answer and answer.status != STATUSES.get(name, 200):
                watcher.faults.append(f"answered {answer.status}")
            found |= _look_at(page, watcher, folder, f"{name}-{size}")

    assert found == {}


def test_what_stands_before_the_console_is_whole_too(stranger: Visitor, folder: Path) -> None:
    found: dict[str, list[str]] = {}
    for size in SIZES:
        with stranger.page(size) as page:
            watcher = Watcher(page)
            page.goto("/admin/incidents/")
            found |= _look_at(page, watcher, folder, f"sign-in-{size}")
            page.get_by_label("Name").fill(NAME)
            page.get_by_label("Password").fill("not the password")
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("alert").wait_for()
            found |= _look_at(page, watcher, folder, f"sign-in-refused-{size}")

    assert found == {}


@pytest.mark.parametrize("size", SIZES)
def test_every_question_before_an_action_is_whole(size: str, operator: Visitor, folder: Path) -> None:
    found: dict[str, list[str]] = {}
    with operator.page(size) as page:
        watcher = Watcher(page)
        for view in VIEWS:
            for action in (each for each in view.row_actions if each.is_asked and each.is_bulk):
                page.goto(f"/admin/{view().url}/")
                page.locator("input[name=rowid]").first.check()
                page.get_by_role("button", name=f"{action.label}…", exact=True).click()
                page.get_by_role("heading", name=action.label).wait_for()
                found |= _look_at(page, watcher, folder, f"ask-{view.table.__tablename__}-{action.name}-{size}")

    assert found == {}


def test_no_list_widens_the_page_on_screens_between(operator: Visitor) -> None:
    wide = []
    with operator.page() as page:
        for view in VIEWS:
            page.goto(f"/admin/{view().url}/")
            for width in (641, 800, 1024, 1100):
                page.set_viewport_size({"width": width, "height": 800})
                if page.evaluate("document.scrollingElement.scrollWidth") > width:
                    wide.append(f"{view().url} at {width}")

    assert wide == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go."""
    folder = Path(os.environ.get("WATCHKEEPER_SCREENSHOTS") or tmp_path).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _look_at(page: Page, watcher: Watcher, folder: Path, name: str) -> dict[str, list[str]]:
    """Pictures of a page in both looks, and its faults."""
    faults = _faults_of(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=folder / f"{name}-{scheme}.png", full_page=True)
        # Each look once, of the two layouts: this takes most of the time.
        if (name.endswith("desktop"), scheme) in {(True, "light"), (False, "dark")}:
            faults += [f"axe, {scheme}: {each}" for each in _axe_faults(page)]
    faults += watcher.take()
    return {f"{name} {page.url}": faults} if faults else {}


def _faults_of(page: Page) -> list[str]:
    faults = []
    if page.locator("h1").count() != 1:
        faults.append(f"{page.locator('h1').count()} h1")
    if not re.fullmatch(r".+ \u2013 Watchkeeper", page.title()):
        faults.append(f"title {page.title()!r}")
    widths = page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
    if page.viewport_size and max(widths) > page.viewport_size["width"]:
        faults.append(f"wider than the screen: {widths}; {page.evaluate(WIDE)}")
    return faults


# What reaches beyond the right edge, for whoever has to find it.
WIDE = """[...document.querySelectorAll('main *, header *')]
  .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .slice(0, 5).map(each => each.tagName + '.' + each.className)"""


def _axe_faults(page: Page) -> list[str]:
    options = {"resultTypes": ["violations"]}
    violations = AXE.run(page, options=options).response["violations"]
    return [
        f"{each['id']}: {[(node['target'], node['failureSummary'][:300]) for node in each['nodes'][:3]]}"
        for each in violations
        if each["impact"] in GRAVE
    ]
