"""What is left to do after set-up: what to paste into the monitoring systems, and what to start."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from deployments.commands.applying.difference import Sections
from deployments.commands.setup.situations import Situation
from storage.settings import Settings
from tasks.errors import PermanentError
from webhook_app.locality import is_loopback

# What lies ready for each source in webhook_app/vendor, and where it goes there.
READY = {
    "grafana": ("grafana_contact_point.yaml", "into provisioning/alerting/ of Grafana"),
    "alertmanager": ("alertmanager.yaml", "its receiver and route, into alertmanager.yml"),
    "pagerduty": ("pagerduty_subscription.json", "post it to PagerDuty's API /webhook_subscriptions"),
    "datadog": ("datadog.json", "as the payload of the webhook"),
    "newrelic": ("newrelic_workflow.hbs", "as the template of the workflow's webhook"),
    "zabbix": ("zabbix_media_type.yaml", "import it as a media type"),
    "generic": ("generic_cron.sh", "for cron jobs"),
}
# They send headers of their own, and have no field for this one.
OWN_HEADER = frozenset({"datadog", "pagerduty"})
# What stands in those files for the receiver's address.
HOSTS = ("https://watchkeeper.example.net", "https://WATCHKEEPER_HOST")


def lines(settings: Settings, situation: Situation, present: Sections) -> Iterator[str]:
    """What to do next, in its order."""
    if situation.takes_webhooks:
        yield from _of_sources(settings, situation.name, present)
        if present["sources"] and is_loopback(urlsplit(settings.web_url).hostname or ""):
            yield (
                "Only this machine reaches that address. For others set WATCHKEEPER_HOST (or put nginx before it) "
                "and WATCHKEEPER_PUBLIC_URL, and run this again."
            )
    yield "Next: `watchkeeper up` runs everything; if it runs already, it follows by itself."
    yield f"Console: {settings.console_url}; `watchkeeper users add NAME` lets people sign in there."
    if not situation.takes_webhooks:
        yield "`watchkeeper check-health` shows at once what it will look at."


def fill_ready_files(settings: Settings, sources: list[str]) -> None:
    """Write the vendors' files with this receiver's address into the home. Raises PermanentError."""
    folder = settings.home / "vendor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            if source in READY:
                _filled_path(settings, source).write_text(_filled(settings, source), "utf-8")
    except OSError as error:
        raise PermanentError(f"{folder} cannot be written: {error.strerror}") from None


def _of_sources(settings: Settings, pipeline: str, present: Sections) -> Iterator[str]:
    for source, entry in present["sources"].items():
        yield f"{source}:"
        yield f"  URL     {settings.web_url}/alerts/webhook/{source}/?pipeline={pipeline}"
        header = "X-Webhook-Token:" if source in OWN_HEADER else "Authorization: Bearer"
        for reference in entry.get("tokens", [])[:1]:
            ((kind, target),) = reference.items() if isinstance(reference, dict) else (("", "the token"),)
            holder = f"variable {target}" if kind == "env" else target
            yield f"  header  {header} TOKEN, where TOKEN is what stands in {holder}"
        if source in READY:
            yield f"  file    {_filled_path(settings, source)} ({READY[source][1]})"
    if not present["sources"]:
        yield f"URL: {settings.web_url}/alerts/webhook/<source>/?pipeline={pipeline}, from this machine only"


def _filled_path(settings: Settings, source: str) -> Path:
    return settings.home / "vendor" / READY[source][0]


def _filled(settings: Settings, source: str) -> str:
    text = (files("webhook_app") / "vendor" / READY[source][0]).read_text("utf-8")
    for host in HOSTS:
        text = text.replace(host, settings.web_url)
    return text
