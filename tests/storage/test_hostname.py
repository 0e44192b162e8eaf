"""The host that an alert's labels name."""

from datetime import UTC, datetime

import pytest
from ingesting import ingest_at, the_alert

from storage.database import Database
from storage.hostname import HOSTNAME_MAX_CHARS, host_key, hostname_of

NOW = datetime(2026, 9, 14, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("labels", "host"),
    [
        ({}, ""),
        ({"job": "node"}, ""),
        ({"host": "web-1"}, "web-1"),
        ({"instance": "web-1:9100"}, "web-1"),
        ({"instance": "https://user@Web-1.Example.org:443/metrics?x=1"}, "web-1.example.org"),
        ({"instance": "[2001:db8::1]:9100"}, "2001:db8::1"),
        ({"instance": "2001:db8::1"}, "2001:db8::1"),
        ({"instance": "10.0.0.1:9100", "nodename": "web-1"}, "web-1"),
        ({"hostname": "10.0.0.2", "instance": "10.0.0.1:9100"}, "10.0.0.2"),
        ({"Host.Name": "web-1"}, "web-1"),
        ({"host_name": "web-1."}, "web-1"),
        ({"instance": "exporter:9100", "node": "worker-3"}, "worker-3"),
        ({"host": " "}, ""),
        ({"host": "x" * 1000}, "x" * HOSTNAME_MAX_CHARS),
    ],
)
def test_the_host_is_named_whichever_way_the_labels_are_spelled(labels: dict[str, str], host: str) -> None:
    assert hostname_of(labels) == host


def test_what_is_looked_for_is_written_as_what_is_stored() -> None:
    assert host_key("HTTPS://Web-1:9100/") == hostname_of({"instance": "web-1"}) == "web-1"


def test_an_alert_keeps_its_host_when_its_end_names_no_label(database: Database) -> None:
    begun = {"name": "Disk full", "labels": {"instance": "db-1:9100"}, "status": "firing", "fingerprint": "f"}
    ingest_at(NOW, database, begun, {**begun, "labels": {}, "status": "resolved"})

    assert the_alert(database).hostname == "db-1"
