"""Alertmanager webhooks as a real one sends them, each of a group of its own."""

import json

STARTS_AT = "2026-09-14T03:12:45.118Z"


def webhook(group: str, *, alerts: int) -> bytes:
    """A firing webhook of a group; three alerts make about 2 KB."""
    name = f"FilesystemAlmostFull{group}"
    body = {
        "receiver": "pipeline",
        "status": "firing",
        "alerts": [_alert(group, name, number) for number in range(alerts)],
        "groupLabels": {"alertname": name},
        "commonLabels": {"alertname": name, "job": "node", "team": "storage"},
        "commonAnnotations": {"runbook_url": "https://wiki.lan/rb/fs-full", "summary": "Filesystem almost full"},
        "externalURL": "http://am-0.mon.lan:9093",
        "version": "4",
        "groupKey": f'{{}}/{{team="storage"}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
    }
    return json.dumps(body).encode()


def _alert(group: str, name: str, number: int) -> dict[str, object]:
    mountpoint = f"/srv/data-{number}"
    return {
        "status": "firing",
        "labels": {
            "alertname": name,
            "device": f"/dev/nvme{number}n1p2",
            "instance": f"db-{group}.lan:9100",
            "job": "node",
            "mountpoint": mountpoint,
            "severity": "critical",
            "team": "storage",
        },
        "annotations": {
            "description": f"{mountpoint} on db-{group}.lan has 3.1% left",
            "runbook_url": "https://wiki.lan/rb/fs-full",
            "summary": "Filesystem almost full",
        },
        "startsAt": STARTS_AT,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prom-0.mon.lan:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        "fingerprint": f"{group}-{number}",
    }
