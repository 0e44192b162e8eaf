"""What is made of a model's reply: read where its meaning is certain, and nothing in it to click or to ping."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from questions import make_alert, make_request

from storage.records import Analysis
from tasks.analyze.links import unlinked
from tasks.analyze.prompt import compose
from tasks.analyze.reply import Reply, read
from tasks.analyze.visible import visible

ADVICE: dict[str, Any] = {
    "type": "disk",
    "priority": "high",
    "title": "Make room",
    "description": "Old logs take most of it",
    "actions": ["du -xh /var | sort -h | tail"],
}
REPLY: dict[str, Any] = {
    "summary": "The disk is full",
    "probable_cause": "Logs",
    "confidence": 0.4,
    "recommendations": [ADVICE],
}


def reading(host: str = "db-1.shop.com", **changes: Any) -> Analysis:
    prompt = compose(make_request(make_alert(labels={"host": host})), max_input_tokens=2_000)
    return read(Reply.model_validate_json(json.dumps(REPLY | changes)), prompt)


def advising(**changes: Any) -> Any:
    [advice] = reading(recommendations=[ADVICE | changes]).recommendations
    return advice


def test_a_reply_becomes_an_analysis_of_this_incident() -> None:
    assert reading().model_dump(mode="json", exclude_none=True) == {
        **REPLY,
        "model_name": "",
        "recommendations": [{**ADVICE, "details": {}, "incident_id": 8642}],
    }


def test_a_reply_chooses_neither_an_incident_nor_details_nor_anything_else() -> None:
    chosen = {"incident_id": 1, "details": {"tool": "rm"}, "channel": "all", "severity": "info"}

    analysis = reading(**chosen, recommendations=[ADVICE | chosen])

    assert analysis == reading()


@pytest.mark.parametrize(
    ("given_value", "confidence"), [(0, 0), (1, 1), ("0.4", 0.4), ("85%", 0.85), (" 85 % ", 0.85), ("0%", 0)]
)
def test_confidence_is_read_as_a_share_or_with_its_per_cent_sign(given_value: object, confidence: float) -> None:
    assert reading(confidence=given_value).confidence == confidence


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("confidence", wrong) for wrong in (85, -0.1, True, "high", "120%", "nan%", "NaN", "%", None)),
        *(("summary", wrong) for wrong in ("", " \n", "\u200b\u200e", None, 5)),
        ("probable_cause", 5),
        ("recommendations", "restart it"),
        ("recommendations", [{}]),
        *(("recommendations", [ADVICE | {"type": wrong}]) for wrong in ("database", "", None)),
        *(("recommendations", [ADVICE | {"priority": wrong}]) for wrong in ("urgent", 1)),
        ("recommendations", [ADVICE | {"title": " "}]),
        ("recommendations", [ADVICE | {"actions": [{"run": "df"}]}]),
    ],
)
def test_what_could_mean_anything_is_asked_for_again(field: str, wrong: object) -> None:
    with pytest.raises(ValidationError) as caught:
        reading(**{field: wrong})

    assert caught.value.errors()[0]["loc"][0] == field


def test_a_number_that_is_none_in_json_is_refused_too() -> None:
    with pytest.raises(ValidationError):
        Reply.model_validate_json(json.dumps(REPLY | {"confidence": float("nan")}))


@pytest.mark.parametrize(
    ("field", "tolerated", "read_as"),
    [
        ("type", " Disk", "disk"),
        ("priority", "HIGH", "high"),
        ("actions", "df -h", ["df -h"]),
        ("actions", None, []),
        ("actions", ["", "df -h"], ["df -h"]),
        ("description", None, ""),
        ("title", "Make\n room ", "Make room"),
    ],
)
def test_what_can_mean_one_thing_only_is_read(field: str, tolerated: object, read_as: object) -> None:
    assert getattr(advising(**{field: tolerated}), field) == read_as


def test_a_reply_without_cause_or_advice_is_one_all_the_same() -> None:
    analysis = reading(probable_cause=None, recommendations=None)

    assert (analysis.probable_cause, analysis.recommendations) == ("", [])


def test_what_is_too_long_is_cut_visibly() -> None:
    many = [ADVICE | {"title": "t" * 900, "description": "d" * 9_000, "actions": ["a" * 900] * 13}] * 11

    analysis = reading(summary="s" * 9_000, probable_cause="c" * 9_000, recommendations=many)

    assert analysis.summary == "s" * 1_999 + "… … and 3 more recommendations"
    assert analysis.probable_cause == "c" * 1_999 + "…"
    assert len(analysis.recommendations) == 8
    first = analysis.recommendations[0]
    assert (first.title, first.description) == ("t" * 149 + "…", "d" * 1_999 + "…")
    assert first.actions == ["a" * 499 + "…"] * 10 + ["… and 3 more"]


def test_what_nobody_sees_and_what_terminals_obey_is_gone() -> None:
    text = "a\x1b[2J\x1b]8;;http://evil.com\x07b\u202ec\u200bd\x00e\ufefff\r\ng\u2028h\U000e0041"

    assert reading(summary=text).summary == "abcdef\ng\nh"


def test_hidden_hosts_are_named_again_and_what_is_put_back_is_no_link_either() -> None:
    alerts = [make_alert(labels={"host": "db-1.shop.com"}), make_alert(labels={"host": "db-1", "at": "evil.com"})]
    prompt = compose(make_request(*alerts), max_input_tokens=2_000, hides_hosts=True)
    stand_ins = {name: stand_in for stand_in, name in prompt.concealment.names_by_placeholder.items()}

    summary = f"{stand_ins['db-1']}.{stand_ins['shop.com']} calls http://{stand_ins['evil']}.{stand_ins['com']}/x"
    shown = read(
        Reply.model_validate(REPLY | {"summary": f"{summary} or {stand_ins['evil']}.com"}), prompt
    ).summary

    assert shown == "db-1.shop.com calls [link removed] or evil[.]com"


def test_a_secret_in_a_reply_is_hidden() -> None:
    assert "hunter2" not in reading(summary="Log in with password=hunter2 now").model_dump_json()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See http://evil.com/x?y=1.", "See [link removed]."),
        ("(HTTPS://evil.com)", "([link removed])"),
        ("ftp://e.com, slack://open", "[link removed], [link removed]"),
        ("http:\\\\evil.com https:\\/\\/evil.com/x", "[link removed] [link removed]"),
        ("www.evil.com/x", "[link removed]"),
        ("mailto:a@e.com javascript:alert(1) data:text/html,x tel:+1", " ".join(["[link removed]"] * 4)),
        ("[the runbook](http://evil.com)", "the runbook [link removed]"),
        ("![logo](https://evil.com/p.png?d=db-1)", "logo [link removed]"),
        ("[a](//evil.com/b_(c))", "[a] (//evil[.]com/b_(c))"),
        ("<http://evil.com|the runbook>", "the runbook [link removed]"),
        ("<http://evil.com>", "<[link removed]>"),
        ("<!channel> <!here|here> <@U024BE7LH> <!subteam^S1|@oncall>", "channel here U024BE7LH oncall"),
        ("@here @everyone wake@all @ann", "here everyone wake all ann"),
        ("<@&123> <at>Ann</at>", "123 Ann"),
        ('<a href="http://evil.com">the runbook</a>', "the runbook"),
        ("<b>bold</b><img src=x onerror=alert(1)>", "bold"),
        ("<blink onclick=x>hi</blink>", "hi< /blink>"),
        ("<scr<b>ipt>", "< scr ipt>"),
        ("ht<b>tp://evil.com", "ht [link removed]"),
        ("evil.com/x", "evil[.]com/x"),
        ("evil.ninja:8080/x?y and a.b.evil.co.uk", "evil[.]ninja:8080/x?y and a[.]b[.]evil[.]co[.]uk"),
        ("a.b.c.d.e.f.g.h.i.j.evil.com", "a[.]b[.]c[.]d[.]e[.]f[.]g[.]h[.]i[.]j[.]evil[.]com"),
        ("http://db-1.shop.com@evil.com/x", "[link removed]"),
        ("http://ann@db-1.shop.com/x http://10.0.0.5/x", "[link removed] [link removed]"),
        ("http://[::bad", "[link removed]"),
        ("http:///evil.com file:///etc/passwd", "[link removed] [link removed]"),
        ("evil.ninja evil.zip evil.sh evil.support", "evil[.]ninja evil[.]zip evil[.]sh evil[.]support"),
        ("login.microsoft.work (evil.co.kr)", "login[.]microsoft[.]work (evil[.]co[.]kr)"),
        (
            "1.2.3.4/x 1.2.3.4:80/x 1.2.3.4?x 10.0.0.5:9100/m",
            "1[.]2[.]3[.]4/x 1[.]2[.]3[.]4:80/x 1[.]2[.]3[.]4?x 10[.]0[.]0[.]5:9100/m",
        ),
        ("1.2.3.4/24 10.0.0.5/24/x 10.0.0.5/x", "1[.]2[.]3[.]4/24 10[.]0[.]0[.]5/24/x 10[.]0[.]0[.]5/x"),
        ("999.2.3.4/24", "999[.]2[.]3[.]4/24"),
        ("evil.xn--p1ai/x EVIL.XN--P1AI пример.рф/x", "evil[.]xn--p1ai/x EVIL[.]XN--P1AI пример[.]рф/x"),
        ("evil\u3002com/x evil\uff0ecom/login", "evil[.]com/x evil[.]com/login"),
        ("evil\uff61com evil\u2024com evil\ufe52com", "evil[.]com evil[.]com evil[.]com"),
        ("_evil.com_ __evil.com/x", "_evil[.]com_ __evil[.]com/x"),
        ("db-1.shop.com.evil.com evil.db-1.shop.com", "db-1[.]shop[.]com[.]evil[.]com evil[.]db-1[.]shop[.]com"),
    ],
)
def test_nothing_in_a_reply_can_be_clicked_or_pings(text: str, shown: str) -> None:
    analysis = reading(summary=f"> {text}", recommendations=[ADVICE | {"description": text, "actions": [text]}])

    assert analysis.summary == f"> {shown}".strip()
    assert analysis.recommendations[0].description == shown.strip()
    assert analysis.recommendations[0].actions == [shown.strip()]


@pytest.mark.parametrize(
    "text",
    [
        "curl -s localhost:8080/healthz",
        "ssh root@db-1.shop.com and see db-1.shop.com:9100",
        "less /etc/nginx/conf.d/default.conf postgresql.conf nginx.yaml access.log/error.log dump.tar.gz",
        "sh /opt/x/run.sh; ./run.sh; unzip ~/a.zip; libssl.so.3 nginx-1.24.0 v1.2.3",
        "sysctl vm.swappiness net.ipv4.ip_forward fs.file-max; jvm.heap.used java.lang.OutOfMemoryError",
        "磁盘已满。请清理。disk。",
        "systemctl status nginx.service getty@tty1.service docker.sock backup.timer data.mount",
        "kubectl describe deployment.apps/web -n shop",
        "free < 10 % and load > 4; diff <(ls a) <(ls b)",
        "10.0.0.5:9100 answers 200, e.g. in 3.5 s; ip route add 10.0.0.0/8, 127.0.0.1:80/x, 1.5/2.0 GB",
        "${list[@]} $@ [1] a_b.c(d)",
    ],
)
def test_names_and_commands_stay_as_they_are(text: str) -> None:
    assert reading(summary=text).summary == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("curl -s http://localhost:8080/healthz.", "curl -s localhost:8080/healthz."),
        ("curl https://127.0.0.1/x", "curl 127.0.0.1/x"),
        ("curl http://DB-1.shop.com:9100/metrics", "curl DB-1.shop.com:9100/metrics"),
        ("kill -3 <pid>; sort <in >out", "kill -3 < pid>; sort < in >out"),
        ("cat <<EOF </dev/null", "cat << EOF < /dev/null"),
    ],
)
def test_commands_can_still_be_run(text: str, shown: str) -> None:
    assert reading(summary=text).summary == shown


def test_the_address_of_the_incidents_own_host_stays() -> None:
    text = "curl 10.0.0.5:9100/metrics"

    assert reading(host="10.0.0.5", summary=text).summary == text


PIECES = ("http://", "evil.com", "/x", "www.", "<", ">", "|", "!", "@", "here", "channel", "[", "]", "(", ")", "a")
PIECES += (
    "b",
    "img ",
    "src=",
    "</",
    " ",
    "\n",
    "\u200b",
    "mailto:",
    "javascript:",
    "\\",
    "//",
    ":",
    ".",
    "&",
    "\x1b[",
)
# Nothing makes a link of a part of a path, /srv/evil.com, nor of the beginning of a longer name: evil.com.img.
CLICKABLE = re.compile(
    r"(?i)https?://|\bwww\.\w|\bmailto:\w|\bjavascript:\w|\]\(|<[a-z/!@#]|(?<!\w)@\w|[\u200b\x1b]"
    r"|(?<![\w.-])(?<![^/]/)evil\.com(?!\.?[\w-])"
)


@settings(max_examples=120, deadline=None)
@example("evil.com@@evil.com")
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join))
def test_no_way_to_put_it_together_leaves_a_link(text: str) -> None:
    assert not CLICKABLE.search(unlinked(visible(f"Said: {text}")))


@pytest.mark.parametrize("text", ["<a =", "[", "a.", "<", "@", "http:", "a", "data:a/", "[a](", "<!a|", "<a b=c "])
def test_a_reply_that_is_made_to_take_long_does_not(text: str) -> None:
    started = time.thread_time()
    unlinked(text * (20_000 // len(text)))

    assert time.thread_time() - started < 0.3


@pytest.mark.parametrize("text", ["[a](", "evil.com/x ", "1.2.3.4/x ", "@a <b>", "磁。a。"])
def test_a_reply_of_the_greatest_length_is_cut_before_it_is_searched(text: str) -> None:
    started = time.thread_time()
    summary = reading(summary=text * (900_000 // len(text))).summary

    assert time.thread_time() - started < 0.3
    assert summary.endswith("…")


def test_a_reply_that_shrinks_below_the_bound_says_that_it_was_cut() -> None:
    summary = reading(summary=f"http://evil.com/{'x' * 9_000} more").summary

    assert summary == "[link removed]…"
