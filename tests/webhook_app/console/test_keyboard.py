"""The console without a mouse, without JavaScript, and with the comforts that JavaScript brings."""

import re
from collections.abc import Iterator

import pytest
from console_visitor import Visitor
from playwright.sync_api import Page, expect

STOPS_MAX = 120


@pytest.fixture
def page(operator: Visitor) -> Iterator[Page]:
    with operator.page() as page:
        yield page


def stops(page: Page) -> list[str]:
    """What Tab stops at, in order, by role-like name."""
    found: list[str] = []
    for _ in range(STOPS_MAX):
        page.keyboard.press("Tab")
        said = page.evaluate(
            """() => {
              const at = document.activeElement;
              if (!at || at === document.body) return '';
              const label = at.getAttribute('aria-label') || at.labels?.[0]?.textContent || at.textContent;
              return `${at.tagName.toLowerCase()} ${(label || '').trim().split('\\n')[0]}`;
            }"""
        )
        if not said:
            break
        found.append(said)
    return found


def test_tab_goes_from_the_skip_link_over_search_menu_and_filters_to_rows_and_actions(page: Page) -> None:
    page.goto("/admin/deliveries/")

    reached = stops(page)

    wanted = [
        "a Skip to the content",
        "input Search everywhere",
        "button Dark look",
        "a Dashboard",
        "a Audit",
        "select Status",
        "button Show",
        "a CSV",
        "input Choose all on this page",
        "input Choose Delivery",
        "button Replay…",
    ]
    places = [next((i for i, each in enumerate(reached) if each.startswith(name)), None) for name in wanted]
    assert None not in places, list(zip(wanted, places, strict=True))
    assert places == sorted(place for place in places if place is not None)


def test_what_is_stopped_at_can_be_seen(page: Page) -> None:
    page.goto("/admin/alerts/")
    for _ in range(3):
        page.keyboard.press("Tab")

    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")

    assert outline == "solid"


def test_skip_link_leads_past_the_menu(page: Page) -> None:
    page.goto("/admin/alerts/")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").locator("*:focus")).to_have_count(1)


def test_menu_of_a_phone_opens_by_keyboard(operator: Visitor) -> None:
    with operator.page("phone") as page:
        page.goto("/admin/alerts/")
        menu = page.get_by_role("navigation", name="Console")
        expect(menu).to_be_hidden()

        page.get_by_role("checkbox", name="Show the menu").press("Space")

        menu.get_by_role("link", name="Runs").press("Enter")
        expect(page.get_by_role("heading", name="Runs", level=1)).to_be_visible()


def test_search_is_one_chord_away(page: Page) -> None:
    page.goto("/admin/alerts/")

    page.keyboard.press("Control+k")

    expect(page.get_by_role("searchbox", name="Search everywhere")).to_be_focused()


def test_chosen_rows_are_counted(page: Page) -> None:
    page.goto("/admin/deliveries/")
    count = page.locator(".bulk-count")
    expect(count).to_have_text("Choose rows to act on them:")

    page.get_by_role("checkbox", name=re.compile("^Choose Delivery")).first.check()
    expect(count).to_have_text("1 chosen:")
    page.get_by_role("checkbox", name="Choose all on this page").check()

    boxes = page.get_by_role("checkbox", name=re.compile("^Choose Delivery"))
    expect(count).to_have_text(f"{boxes.count()} chosen:")


def test_a_chosen_look_stays_and_the_system_s_own_is_no_choice(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/admin/alerts/")
    look = page.get_by_role("button", name="Dark look")

    look.click()
    page.goto("/admin/runs/")

    expect(look).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    look.click()
    assert page.evaluate("localStorage.getItem('look')") is None


def test_times_go_on(page: Page) -> None:
    page.clock.install()
    page.goto("/admin/alerts/details/?id=1")
    time = page.locator("dd time").first
    before = time.inner_text()

    page.clock.run_for(3 * 24 * 3600 * 1000)

    expect(time).not_to_have_text(before)
    expect(time).to_have_text(re.compile(r"^3 d ago$"))
    assert " UTC, here " in (time.get_attribute("title") or "")


def test_filters_and_actions_work_without_javascript(operator: Visitor) -> None:
    with operator.page(java_script_enabled=False) as page:
        page.goto("/admin/deliveries/")
        page.get_by_label("Status").select_option("done")
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("link", name=re.compile("Status: done"))).to_be_visible()

        page.get_by_role("checkbox", name=re.compile("^Choose Delivery")).first.check()
        page.get_by_role("button", name="Replay…").click()

        expect(page.get_by_role("heading", name="Replay")).to_be_visible()
        page.get_by_role("link", name="Cancel").click()
        page.get_by_role("link", name=re.compile("Status: done")).click()
        assert "status" not in page.url


def test_what_is_narrowed_down_by_can_be_taken_away_on_a_phone(operator: Visitor) -> None:
    with operator.page("phone") as page:
        page.goto("/admin/alerts/?status=firing&severity=critical")
        filters = page.locator("details.more-filters")
        expect(filters).not_to_have_attribute("open", "")

        page.get_by_role("link", name=re.compile("Severity: critical")).click()

        assert "severity" not in page.url
        expect(page.get_by_role("link", name=re.compile("Status: firing"))).to_be_visible()


def test_a_phone_s_cards_are_still_a_table_to_whoever_hears_them(operator: Visitor) -> None:
    with operator.page("phone") as page:
        page.goto("/admin/deliveries/")

        table = page.get_by_role("table")

        expect(table).to_have_count(1)
        assert table.get_by_role("columnheader", name="Status").count() == 1
        assert table.get_by_role("row").count() > 2
        assert table.get_by_role("row").nth(1).get_by_role("cell").count() > 5
