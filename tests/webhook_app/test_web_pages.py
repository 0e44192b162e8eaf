"""Web pages in a browser on this machine, such as those of another local port: they may change nothing."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from webhook_app.console.paths import is_page
from webhook_app.webhook import webhook

CHANGING = {"DELETE", "PATCH", "POST", "PUT"}


def actions(client: FlaskClient) -> Iterator[tuple[str, str]]:
    """Method and path of all that the API does, but for the webhooks, whose senders prove who they are.

    The console's forms have tokens: tests/webhook_app/console/test_access.py.
    """
    for rule in client.application.url_map.iter_rules():
        built = rule.build(dict.fromkeys(rule.arguments, "1"), append_unknown=False)
        if built and not is_page(rule.rule) and rule.endpoint.partition(".")[0] != webhook.name:
            yield from ((method, built[1]) for method in sorted((rule.methods or set()) & CHANGING))


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_no_action_is_a_pages_to_have_done(door: FlaskClient, site: str) -> None:
    headers = {"Sec-Fetch-Site": site}

    answers = {(method, path): door.open(path, method=method, headers=headers) for method, path in actions(door)}

    assert [asked for asked, answer in answers.items() if answer.status_code != 401] == []
    assert {
        ("POST", "/incidents/1/resolve/"),
        ("POST", "/notify/notifications/1/retry/"),
        ("POST", "/alerts/deliveries/1/discard/"),
        ("DELETE", "/notify/channels/1/"),
        ("POST", "/intelligence/recommendations/"),
    } <= answers.keys()


def test_looking_is_a_pages_too(door: FlaskClient) -> None:
    response = door.get("/notify/drivers/", headers={"Sec-Fetch-Site": "same-site"})

    assert response.status_code == 200
