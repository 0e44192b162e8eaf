"""The console as a person on call uses it, in a real browser on the whole stack."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moody import MoodySink
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import delete
from stack import LiveStack, live_stack

from storage.tables import ChannelState

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

OPERATOR, VIEWER = "mira", "jon"
PASSWORD = "a long enough password"
# The dashboard looks anew every 15 s.
REFRESHED_MS = 25_000
RUN_OVER_MS = 30_000


@pytest.fixture(scope="module")
def sink() -> Iterator[MoodySink]:
    with MoodySink() as sink:
        yield sink


@pytest.fixture(scope="module")
def stack(sink: MoodySink) -> Iterator[LiveStack]:
    with live_stack(ORCHESTRATION_MAX_RETRIES_PER_STAGE="0") as stack:
        stack.add_channel("night-shift", "generic", {"endpoint": sink.url})
        add_user(stack, OPERATOR, "operator")
        add_user(stack, VIEWER, "viewer")
        yield stack


def add_user(stack: LiveStack, name: str, role: str) -> None:
    command = [sys.executable, "-m", "deployments.cli", "users", "add", name, "--role", role]
    said = subprocess.run(
        command, env=stack.env, input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=30, check=False
    )
    assert said.returncode == 0, said.stderr


@contextmanager
def signed_in(browser: Browser, stack: LiveStack, name: str) -> Iterator[Page]:
    with browser.new_context(base_url=f"http://127.0.0.1:{stack.port}") as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
        yield page


def go_to(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Console").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def do(page: Page, action: str) -> None:
    """Press the button of an action, and answer its question where it has one."""
    page.get_by_role("button", name=re.compile(f"^{action}…?$")).click()
    if page.get_by_role("link", name="Cancel").is_visible():
        page.get_by_role("button", name=action, exact=True).click()
    expect(page.get_by_role("status").first).to_be_visible()


def test_webhook_shows_up_by_itself_and_leads_to_its_message_and_is_acknowledged(
    browser: Browser, stack: LiveStack, sink: MoodySink
) -> None:
    with signed_in(browser, stack, OPERATOR) as page:
        accepted = stack.post({"name": "Disk of db-7 full", "severity": "critical"}, pipeline="full")
        stack.wait_for_run(accepted)

        # Nobody loads the page anew.
        incident = page.get_by_role("link", name="Disk of db-7 full").first
        expect(incident).to_be_visible(timeout=REFRESHED_MS)
        incident.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Disk of db-7 full")
        expect(page.get_by_role("main")).to_contain_text("night-shift")
        do(page, "Acknowledge")
        expect(page.get_by_role("main")).to_contain_text(OPERATOR)
        page.get_by_role("link", name="night-shift").first.click()

        expect(page.get_by_role("heading", level=1)).to_contain_text("to night-shift")
        expect(page.get_by_role("main")).to_contain_text("sent")
    assert sink.about("Disk of db-7 full")


def test_failed_run_is_retried_once_the_channel_is_well(
    browser: Browser, stack: LiveStack, sink: MoodySink
) -> None:
    sink.refused.add("Disk of db-8")
    run = stack.wait_for_run(stack.post({"name": "Disk of db-8 full", "severity": "critical"}))
    sink.refused.clear()
    with stack.database.write() as session:
        session.execute(delete(ChannelState))
    before = len(sink.about("Disk of db-8"))

    with signed_in(browser, stack, OPERATOR) as page:
        page.goto("/admin/runs/?status=FAILED")
        page.get_by_role("link", name=re.compile(run["run_id"][:8])).first.click()
        expect(page.get_by_role("main")).to_contain_text("FAILED")
        do(page, "Retry")
        expect(page.get_by_role("status").first).to_contain_text("1 run")

        expect_after_reloads(page, "NOTIFIED")
    assert run["status"] == "FAILED"
    assert len(sink.about("Disk of db-8")) > before


def expect_after_reloads(page: Page, text: str, timeout_ms: int = RUN_OVER_MS) -> None:
    """A page of a row shows it as it was then; a person reloads it."""
    for _ in range(timeout_ms // 500):
        if text in page.get_by_role("main").inner_text():
            return
        page.wait_for_timeout(500)
        page.goto(page.url)
    expect(page.get_by_role("main")).to_contain_text(text)


def test_delivery_is_replayed_by_keyboard_and_the_deed_is_in_the_audit(browser: Browser, stack: LiveStack) -> None:
    accepted = stack.post({"name": "Load of db-9", "severity": "warning"})
    stack.wait_for_run(accepted)

    with signed_in(browser, stack, OPERATOR) as page:
        page.goto(f"/admin/deliveries/?search={accepted['delivery_id']}")
        page.get_by_role("checkbox", name=re.compile(accepted["delivery_id"])).press("Space")
        page.get_by_role("button", name="Replay…").press("Enter")
        page.get_by_role("button", name="Replay", exact=True).press("Enter")
        expect(page.get_by_role("status").first).to_contain_text("1 delivery replayed")
        go_to(page, "Audit")

        newest = page.get_by_role("row").nth(1)
        expect(newest).to_contain_text("replay")
        expect(newest).to_contain_text(OPERATOR)
    assert len(stack.web.get(accepted["status_url"]).json()["runs"]) >= 1


def test_viewer_sees_all_of_it_and_no_button(browser: Browser, stack: LiveStack) -> None:
    stack.wait_for_run(stack.post({"name": "Seen by a viewer", "severity": "warning"}))

    with signed_in(browser, stack, VIEWER) as page:
        for name in ("Incidents", "Deliveries", "Runs", "Notifications", "Channels"):
            go_to(page, name)
            expect(page.get_by_role("row").nth(1)).to_be_visible()
            expect(page.get_by_role("group", name="With the chosen rows")).to_have_count(0)
            expect(page.get_by_role("checkbox", name=re.compile("^Choose"))).to_have_count(0)


def test_who_signs_out_has_to_sign_in_again(browser: Browser, stack: LiveStack) -> None:
    with signed_in(browser, stack, OPERATOR) as page:
        page.get_by_role("banner").get_by_text(OPERATOR).first.click()
        page.get_by_role("button", name="Sign out").click()
        page.goto("/admin/incidents/")

        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
