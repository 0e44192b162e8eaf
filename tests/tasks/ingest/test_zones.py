"""Times that name no offset are in the zone that the operator says the source writes."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from storage.settings import SettingsError, load
from tasks.ingest import sources
from tasks.ingest.body import read_body


def started_at(payloads: Path, zones: dict[str, ZoneInfo]) -> datetime | None:
    body = read_body((payloads / "zabbix/01_problem_high.json").read_bytes())
    return sources.parse(body, zones=zones).alerts[0].started_at


def test_time_without_an_offset_is_utc_unless_said_otherwise(payloads: Path) -> None:
    assert started_at(payloads, {}) == datetime(2026, 9, 17, 23, 58, 41, tzinfo=UTC)


def test_time_without_an_offset_is_read_in_the_sources_zone(
    payloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHKEEPER_SOURCE_TIMEZONES", '{"zabbix": "Europe/Berlin"}')

    found = started_at(payloads, load().source_timezones)

    assert found == datetime(2026, 9, 17, 21, 58, 41, tzinfo=UTC)


@pytest.mark.parametrize("given", ['{"zabbix": "Europe/Nowhere"}', "zabbix", "[]"])
def test_zones_that_cannot_be_used_are_refused_by_name(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHKEEPER_SOURCE_TIMEZONES", given)

    with pytest.raises(SettingsError, match=r"(?i)source_timezones"):
        load()
