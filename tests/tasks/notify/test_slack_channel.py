import json
import re
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sinks import Answer
from status_table import answer, each_break, each_status, each_wait, logged, outcome_of, told

from storage.records import ChannelConfig
from tasks.errors import PermanentError, TransientError
from tasks.notify.channels import build, slack
from tasks.notify.channels.slack_blocks import build_payload, cut
from tasks.notify.message import Notification

PATH = "/services/T0SECRET/B0SECRET/hunter2SECRET"
NASTY = (
    "<!channel> <@U1> <http://evil.example|bank> &amp; *b* _i_ ~s~ `c` ```\r\n> q :fire: \u202egnp.exe \U0001f525"
)


def make_notification(**values):
    defaults = {
        "reason": "firing",
        "title": "[FIRING] critical: DiskFull on db-03",
        "message": "Firing since 02:13.\nOnly 3 % left.",
        "severity": "critical",
        "channel": "ops",
        "thread": "watchkeeper-7-1",
        "tags": {"host": "db-03"},
        "context": {"links": {"Runbook": "https://wiki.example/disk?a=1&b=2", "Bad": "javascript:alert(1)"}},
        "idempotency_key": "9f1c",
    }
    return Notification(**(defaults | values))


def channel(url="https://hooks.slack.com", **config):
    return build(ChannelConfig(id=1, name="ops", driver="slack", config={"webhook_url": url + PATH} | config))


@pytest.fixture
def reachable(monkeypatch):
    """Let webhooks be on loopback."""
    monkeypatch.setattr(slack, "WEBHOOK_PREFIXES", ("http://127.0.0.1:",))


def texts_of(payload):
    """All texts that are shown, by the kind of their element."""
    blocks = [block for each in (payload, *payload["attachments"]) for block in each["blocks"]]
    return [text for block in blocks for text in ([block["text"]] if "text" in block else block["fields"])]


def assert_within_limits(payload):
    [header] = payload["blocks"]
    assert header["type"] == "header"
    assert 0 < slack_chars(header["text"]["text"]) <= 150
    [attachment] = payload["attachments"]
    assert 0 < len(attachment["blocks"]) < 50
    for block in attachment["blocks"]:
        assert block["type"] == "section"
        assert len(block.get("fields", [])) <= 10
        assert all(slack_chars(field["text"]) <= 2_000 for field in block.get("fields", []))
        assert "text" not in block or slack_chars(block["text"]["text"]) <= 3_000
    shown = texts_of(payload)
    assert all(text["text"].strip() for text in shown)
    assert sum(slack_chars(text["text"]) for text in shown) <= 9_000
    assert slack_chars(payload["text"]) <= 3_000


def slack_chars(text):
    return len(text.encode("utf-16-le")) // 2


def is_escaped(text):
    return not re.search(r"[<>]|&(?!(amp|lt|gt);)", text)


@pytest.mark.usefixtures("reachable")
def test_a_message_arrives_as_blocks_beside_the_colour_of_its_severity(http_sink):
    http_sink.answer_with(Answer(body=b"ok"))

    receipt = channel(http_sink.url, channel="#ops", username="Watch", icon_emoji=":eyes:").deliver(
        make_notification()
    )

    [request] = http_sink.requests
    assert (request.method, request.path) == ("POST", PATH)
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(request.body) == {
        "channel": "#ops",
        "username": "Watch",
        "icon_emoji": ":eyes:",
        "text": "[FIRING] critical: DiskFull on db-03",
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": "[FIRING] critical: DiskFull on db-03", "emoji": False},
            }
        ],
        "attachments": [
            {
                "color": "#b3261e",
                "blocks": [
                    {
                        "type": "section",
                        "text": {
                            "type": "plain_text",
                            "text": "Firing since 02:13.\nOnly 3 % left.",
                            "emoji": False,
                        },
                    },
                    {
                        "type": "section",
                        "text": {
                            "type": "mrkdwn",
                            "text": "<https://wiki.example/disk?a=1&amp;b=2|Runbook>",
                            "verbatim": True,
                        },
                    },
                ],
            }
        ],
    }
    assert receipt.detail == "127.0.0.1 answered 200"


def test_an_end_is_green_and_its_title_says_how_long_it_lasted():
    title = "[RESOLVED after 1 h 22 min] critical: DiskFull on db-03"

    payload = build_payload(make_notification(reason="resolved", severity="success", title=title), "Over.")

    assert payload["attachments"][0]["color"] == "#1e7b34"
    assert payload["blocks"][0]["text"]["text"] == title


def test_outside_text_can_neither_mention_nor_link_nor_format():
    tags = {f"<!here> *{n}*": NASTY for n in range(3)}
    links = {"*_~`<!channel>|x": "https://a.example/<!channel>|<@U1>?q=a&b"}
    notification = make_notification(reason="message", title=NASTY, tags=tags, context={"links": links})

    payload = build_payload(notification, NASTY)

    *plain, link = texts_of(payload)
    assert {text["type"] for text in plain} == {"plain_text"}
    assert all(is_escaped(text["text"]) for text in plain)
    assert is_escaped(payload["text"])
    assert "<!channel> <@U1>" in unescape(plain[1]["text"])
    assert not re.search("[\r\u202e]", json.dumps(payload, ensure_ascii=False))
    assert link["text"] == "<https://a.example/%3C!channel%3E%7C%3C@U1%3E?q=a&amp;b|!channel x>"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "//a.example",
        "https://",
        "file:///etc/passwd",
        "https://a b",
        "https://a\nb",
        "https://a.example/" + "x" * 2_000,
        "https://a.example/x… [+9 characters]",
        "https://a.example/\u202egnp",
        7,
        None,
    ],
    ids=lambda url: repr(url)[:40],
)
def test_what_does_not_lead_to_the_web_is_no_link(url):
    payload = build_payload(make_notification(context={"links": {"Bad": url}}), "Text.")

    assert [text["type"] for text in texts_of(payload)] == ["plain_text", "plain_text"]


def test_a_hundred_kilobytes_are_cut_where_everybody_sees_it():
    text = "\n".join(f"line {n} <&>" for n in range(7_000))

    payload = build_payload(make_notification(), text)

    assert_within_limits(payload)
    shown = [unescape(text["text"]) for text in texts_of(payload)[1:-1]]
    assert len(shown) >= 3
    rest = re.search(r"… \[\+([\d,]+) characters\]$", shown[-1])
    kept = "\n".join(shown).removesuffix(rest[0])
    assert text.startswith(kept)
    assert len(kept) + int(rest[1].replace(",", "")) == len(text)


def test_the_last_section_has_room_for_saying_how_much_is_missing():
    text = "a" * 2_949 + "\n" + "b" * 2_889 + "\n" + "c" * 90_000

    payload = build_payload(make_notification(context={}), text)

    assert_within_limits(payload)
    *_, last = texts_of(payload)
    assert re.search(r"^c{1000,}… \[\+\d\d,\d+ characters\]$", last["text"])


def test_a_title_that_is_cut_is_told_in_whole_below():
    title = "[FIRING] critical: " + "a" * 150 + " on db-03"

    header, body, *_ = texts_of(build_payload(make_notification(title=title), "Text."))

    assert re.search(r"a… \[\+\d+ characters\]$", header["text"])
    assert body["text"] == f"{title}\n\nText."


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", "Title"), (" \n ", "Title"), (" " * 4_000 + "end", " " * 1_000 + "end"), ("\n" * 4_000 + "end", "end")],
    ids=["empty", "blank", "blanks before", "lines before"],
)
def test_no_section_is_empty_which_slack_would_refuse(text, shown):
    payload = build_payload(make_notification(title="Title", context={}), text)

    assert [each["text"] for each in texts_of(payload)] == ["Title", shown]


def test_links_that_do_not_fit_are_counted():
    links = {f"Dashboard {n}": f"https://a.example/{'&' * 400}{n}" for n in range(10)}

    payload = build_payload(make_notification(context={"links": links}), "Text.")

    assert_within_limits(payload)
    assert re.search(r"^<https.*>  ·  … and \d more$", texts_of(payload)[-1]["text"])


def test_tags_are_shown_where_the_text_does_not_say_them():
    tags = {f"tag {n}": "x" * 300 for n in range(12)}

    about_nothing = build_payload(make_notification(reason="message", tags=tags, context={}), "Text.")
    about_incident = build_payload(make_notification(tags=tags, context={}), "Text.")

    assert_within_limits(about_nothing)
    fields = about_nothing["attachments"][0]["blocks"][-1]["fields"]
    assert fields[0]["text"].startswith("tag 0: xxx")
    assert fields[-1]["text"] == "… and 3 more"
    assert len(about_incident["attachments"][0]["blocks"]) == 1


CHARS = st.text(st.sampled_from("&<>a \n\t|\U0001f525\u202e\x00*"), max_size=60)
TEXTS = st.builds(lambda text, times: text * times, CHARS, st.sampled_from([1, 7, 400]))


@settings(max_examples=60, deadline=None)
@given(
    title=TEXTS,
    text=TEXTS,
    tags=st.dictionaries(TEXTS, TEXTS, max_size=12),
    links=st.dictionaries(TEXTS, TEXTS.map(lambda text: f"https://a.example/{text}"), max_size=4),
    reason=st.sampled_from(["firing", "message"]),
)
def test_any_message_fits_and_is_escaped(title, text, tags, links, reason):
    notification = make_notification(title=title, tags=tags, context={"links": links}, reason=reason)

    payload = build_payload(notification, text)

    assert_within_limits(payload)
    assert all(is_escaped(each["text"]) for each in texts_of(payload) if each["type"] == "plain_text")
    assert is_escaped(payload["text"])


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, max_chars=st.integers(40, 3_000))
def test_a_cut_text_says_how_much_is_missing(text, max_chars):
    shown = cut(text, max_chars)

    assert slack_chars(shown) <= max_chars
    kept, mark, rest = unescape(shown).rpartition("… [+")
    if mark:
        assert text.startswith(kept)
        assert len(kept) + int(re.sub(r"\D", "", rest)) == len(text)
    else:
        assert rest == text


@pytest.mark.usefixtures("reachable")
@each_status
def test_every_status_has_its_outcome_and_none_tells_the_url(http_sink, caplog, status, outcome):
    caplog.set_level("DEBUG")
    # a redirect's target and an error's body may repeat what they were asked for
    http_sink.answer_with(answer(status, body=PATH.encode(), Location=f"{http_sink.url}{PATH}"))
    ours = channel(http_sink.url)

    result = outcome_of(lambda: ours.deliver(make_notification()))

    assert type(result) is outcome
    assert f"127.0.0.1 answered {status}" in told(result)
    assert len(http_sink.requests) == 1
    for said in (told(result), told(ours.config), told(ours.build_request(make_notification())), logged(caplog)):
        assert "SECRET" not in said


@pytest.mark.usefixtures("reachable")
@each_break
def test_a_broken_connection_has_its_outcome(broken, outcome):
    with broken() as url:
        result = outcome_of(lambda: channel(url, timeout=0.2).deliver(make_notification()))

    assert type(result) is outcome
    assert "SECRET" not in told(result)


@pytest.mark.usefixtures("reachable")
@each_wait
def test_the_wait_that_slack_asks_for_is_kept(http_sink, wish, seconds):
    http_sink.answer_with(answer(429, Retry_After=wish()))

    with pytest.raises(TransientError) as caught:
        channel(http_sink.url).deliver(make_notification())

    waited = caught.value.retry_after_seconds
    assert (
        waited is seconds if seconds is None else waited == pytest.approx(seconds, abs=30 if seconds == 90 else 0)
    )


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "no_service\n", "127.0.0.1 answered 404: no_service"),
        (410, "channel_is_archived", "127.0.0.1 answered 410: channel_is_archived"),
        (403, "invalid_token", "127.0.0.1 answered 403: invalid_token"),
        (403, "action_prohibited", "127.0.0.1 answered 403: action_prohibited"),
        (400, "invalid_payload", "127.0.0.1 answered 400: invalid_payload"),
        (400, f"no such hook: {PATH}", "127.0.0.1 answered 400"),
    ],
)
def test_slacks_own_word_is_told_and_no_other(http_sink, status, body, said):
    http_sink.answer_with(answer(status, body=body.encode()))

    with pytest.raises(PermanentError) as caught:
        channel(http_sink.url).deliver(make_notification())

    assert str(caught.value) == said


@pytest.mark.usefixtures("reachable")
def test_an_answer_that_is_not_slacks_own_is_told(http_sink):
    http_sink.answer_with(Answer(body=b"<html>Please log in"))

    receipt = channel(http_sink.url).deliver(make_notification())

    assert receipt.detail == "127.0.0.1 answered 200, but not ok"


@pytest.mark.parametrize("host", ["https://hooks.slack.com", "https://hooks.slack-gov.com"])
def test_slacks_own_hosts_are_accepted(host):
    assert channel(host).build_request(make_notification()).url == host + PATH


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"webhook_url": None}, "webhook_url: Input should be a valid string"),
        (
            {"webhook_url": "http://hooks.slack.com/SECRET"},
            "webhook_url: does not start with https://hooks.slack.com/",
        ),
        ({"webhook_url": "https://hooks.slack.com.evil.example/SECRET"}, "webhook_url: does not start with"),
        ({"webhook_url": "https://hooks.slack.com@evil.example/SECRET"}, "webhook_url: does not start with"),
        ({"webhook_url": "https://hooks.slack.com/a\nSECRET"}, "webhook_url: not a valid URL"),
        ({"webhook_url": {"env": "WK_UNSET"}}, "webhook_url: environment variable 'WK_UNSET' is not set"),
        ({"icon_emoji": "SECRET"}, "icon_emoji: String should match"),
        ({"channel": "SECRET" * 20}, "channel: String should have at most 80 characters"),
        ({"timeout": 0}, "timeout: Input should be greater than 0"),
        ({"token": "SECRET"}, "token: Extra inputs are not permitted"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_config_is_refused_by_channel_and_field_without_its_values(config, said):
    with pytest.raises(PermanentError) as caught:
        channel(**config)

    assert str(caught.value).startswith("channel 'ops': ")
    assert said in str(caught.value)
    assert "SECRET" not in told(caught.value)


@pytest.mark.usefixtures("reachable")
def test_a_payload_by_template_is_sent_just_as_it_is(http_sink):
    template = '{"text": "*{{ title }}*", "blocks": []}'

    channel(http_sink.url, payload_template=template, username="Watch").deliver(make_notification(title="<!here>"))

    assert json.loads(http_sink.requests[0].body) == {"text": "*&lt;!here&gt;*", "blocks": []}


def test_a_text_by_template_stands_in_place_of_the_message():
    request = channel(template="{{ severity }}: <!channel>").build_request(make_notification(context={}))

    assert texts_of(json.loads(request.body))[1]["text"] == "critical: &lt;!channel&gt;"
