"""What leaves with a question, and what comes back in its answer."""

import json
from typing import Any

import pytest
from planted import SECRETS
from questions import data_of, make_alert, make_request

from tasks.analyze.concealment import Concealment
from tasks.analyze.prompt import compose

PERSONAL = {
    "mail": ("told ann.lee+ops@mail.example.com twice", "told *** twice"),
    "telephone": ("call +49 30 1234 5678 or +1-202-555-0143", "call *** or ***"),
    "card": ("card 4111 1111 1111 1111 and 4111111111111111", "card *** and ***"),
    "American Express": ("card 3782 822463 10005", "card ***"),
    "bank account": ("to DE89 3704 0044 0532 0130 00 and GB82WEST12345698765432", "to *** and ***"),
}
NOT_PERSONAL = (
    "getty@tty1.service failed",
    "4111 1111 1111 1112 is no card",
    "4111111111111112 bytes",
    "DE00 3704 0044 0532 0130 00 is no account",
    "at 2026-09-14T03:12:45+02:00",
    "+1073741824 bytes, +12.5 %",
    "https://x.example:8080/a?b=1",
    "nvme0n1p2 4K 1234567890123456",
)
# With the names of hosts hidden. What is not a host's stays.
HOSTS = {
    "address": ("10.0.0.5:9100 and 10.0.0.5/24", "ip-1:9100 and ip-1/24"),
    "IPv6": ("[2001:db8::1]:80 is 2001:DB8:0:0:0:0:0:1", "[ip-1]:80 is ip-1"),
    "mixed address": ("::ffff:10.1.2.3 closed", "ip-1 closed"),
    "own address": ("127.0.0.1, ::1, 0.0.0.0 and localhost", "127.0.0.1, ::1, 0.0.0.0 and localhost"),
    "MAC": ("52:54:00:12:34:56 is 52-54-00-12-34-56", "mac-1 is mac-1"),
    "domain name": ("https://shop.example.com/x", "https://host-1.domain-1/x"),
    "domain name after a login": ("https://u:p4ss@wiki.corp.lan/x", "https://***@host-1.domain-1/x"),
    "domain names after a login": (
        "amqp://u:p@mq.corp.lan:5672 or x@tcp(db.corp.lan)",
        "amqp://***@host-2.domain-1:5672 or x@tcp(host-1.domain-1)",
    ),
    "unit": ("getty@tty1.service failed", "getty@tty1.service failed"),
    "same domain": ("a.corp.lan calls b.corp.lan", "host-1.domain-1 calls host-2.domain-1"),
    "time": ("at 12:34:56 and 03:12", "at 12:34:56 and 03:12"),
    "version": ("nginx 1.25.3, kernel 6.1.0-18-amd64", "nginx 1.25.3, kernel 6.1.0-18-amd64"),
    "files": ("nginx.conf main.py run.sh nginx.service", "nginx.conf main.py run.sh nginx.service"),
    "code": ("java.net.SocketException in std::string", "java.net.SocketException in std::string"),
}


@pytest.mark.parametrize("case", PERSONAL)
def test_personal_data_never_leaves(case: str) -> None:
    text, left = PERSONAL[case]

    assert Concealment().conceal({"a": [text], text: 1}) == {"a": [left], left: 1}


@pytest.mark.parametrize("text", NOT_PERSONAL)
def test_what_only_looks_personal_stays(text: str) -> None:
    assert Concealment().conceal(text) == text


def test_the_name_of_a_home_is_put_back() -> None:
    concealment = Concealment()

    told = concealment.conceal("/home/ann/.cache, /Users/bob/x and C:\\Users\\ann\\y; /home is full")

    assert told == "/home/user-1/.cache, /Users/user-2/x and C:\\Users\\user-1\\y; /home is full"
    assert concealment.reveal("rm -r /home/user-1/.cache") == "rm -r /home/ann/.cache"


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("hides_hosts", [False, True])
def test_no_secret_leaves_nor_comes_back(kind: str, *, hides_hosts: bool) -> None:
    planted = SECRETS[kind]
    concealment = Concealment(hides_hosts=hides_hosts)

    told = concealment.conceal({"host": "hunter2", "text": planted.text})

    assert planted.secret not in json.dumps(told).replace("\\", "")
    assert planted.secret not in concealment.reveal(f"It is {planted.text}")


@pytest.mark.parametrize("case", HOSTS)
def test_hosts_leave_as_placeholders_and_come_back(case: str) -> None:
    text, left = HOSTS[case]
    concealment = Concealment(hides_hosts=True)

    told = concealment.conceal({"text": text})

    assert told == {"text": left}
    back = concealment.reveal(left)
    assert concealment.conceal({"text": back}) == {"text": left}


def test_hosts_leave_as_they_are_unless_they_are_to_be_hidden() -> None:
    value = {"host": "db-03.lan", "text": "10.0.0.5 on db-03"}

    assert Concealment().conceal(value) == value


def test_a_host_that_labels_name_is_hidden_wherever_it_stands_in_each_of_its_forms() -> None:
    concealment = Concealment(hides_hosts=True)
    value = {
        "labels": {"instance": "https://db-03.prod1:9100/metrics", "job": "node"},
        "text": "DB-03 and db-03.prod1. pg_db-03-backup, /srv/db-03/x.log, but db-030 and xdb-03",
        "/mnt/db-03": {"free": 1},
    }

    told = concealment.conceal(value)

    assert told == {
        "labels": {"instance": "https://host-1.domain-1:9100/metrics", "job": "node"},
        "text": "host-1 and host-1.domain-1. pg_host-1-backup, /srv/host-1/x.log, but db-030 and xdb-03",
        "/mnt/host-1": {"free": 1},
    }
    assert concealment.reveal("host-1.domain-1, /srv/host-1/x.log") == "db-03.prod1, /srv/db-03/x.log"


@pytest.mark.parametrize(
    "name", ["host", "hostname", "instance", "exported_instance", "node", "kubernetes.node", "hosts"]
)
def test_names_under_which_hosts_stand(name: str) -> None:
    assert Concealment(hides_hosts=True).conceal({name: ["web"], "a": "web"}) == {name: ["host-1"], "a": "host-1"}


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST", "host", "7", "***", "two words"])
def test_what_names_no_host_in_particular_is_not_looked_for(name: str) -> None:
    value = {"host": name, "text": f"about {name}"}

    assert Concealment(hides_hosts=True).conceal(value) == value


def test_placeholders_do_not_depend_on_the_order_of_keys() -> None:
    labels = [("host", "web-2.lan"), ("instance", "db-1.lan"), ("node", "a-9"), ("text", "10.0.0.2 to 10.0.0.1")]

    told = [Concealment(hides_hosts=True).conceal(dict(order)) for order in (labels, labels[::-1])]

    assert told[0] == told[1]


def test_a_real_name_that_looks_like_a_placeholder_is_never_mistaken_for_one() -> None:
    concealment = Concealment(hides_hosts=True)
    value = {"host": "db-1", "text": "db-1 calls HOST-1, host-2-b and my-host-3; ip-1 is 10.0.0.1"}

    told = concealment.conceal(value)

    assert told == {"host": "host-4", "text": "host-4 calls HOST-1, host-2-b and my-host-3; ip-1 is ip-2"}
    assert concealment.reveal(told["text"]) == value["text"]


def test_a_host_called_host_1_gets_another_placeholder() -> None:
    concealment = Concealment(hides_hosts=True)

    told = concealment.conceal({"host": "host-1", "node": "host-2", "text": "host-1, host-2"})

    assert told["text"] == "host-3, host-4"
    assert concealment.reveal("host-3 host-4 host-1") == "host-1 host-2 host-1"


def test_an_answer_gets_names_back_in_any_letter_case_and_only_for_known_placeholders() -> None:
    concealment = Concealment(hides_hosts=True)
    concealment.conceal({"hosts": [f"web-{number:02}" for number in range(1, 13)]})

    back = concealment.reveal("host-1, Host-12's, `HOST-2`, host-1-data; not host-99, host-120, ghost-1, host-1x")

    assert back == "web-01, web-12's, `web-02`, web-01-data; not host-99, host-120, ghost-1, host-1x"


def test_placeholders_go_on_where_a_second_part_is_told() -> None:
    concealment = Concealment(hides_hosts=True)

    first, second = concealment.conceal({"host": "b-1"}), concealment.conceal({"host": "a-1", "node": "b-1"})

    assert (first, second) == ({"host": "host-1"}, {"host": "host-2", "node": "host-1"})


def test_a_question_names_no_host_and_its_answer_does() -> None:
    alert = make_alert(
        labels={"host": "db-03.lan"}, name="Disk full on db-03", description="10.0.0.5 is db-03.lan"
    )
    evidence: dict[str, Any] = {"hostname": "watch-7", "processes": [{"line": "backup db-03"}]}

    prompt = compose(make_request(alert, evidence=evidence), max_input_tokens=8_000, hides_hosts=True)

    assert not [name for name in ("db-03", "watch-7", "10.0.0.5") if name in prompt.text]
    [affected] = data_of(prompt)["hosts"]["affected_hosts"]
    assert prompt.concealment.reveal(f"see {affected}") == "see db-03.lan"


@pytest.mark.parametrize(
    "nasty", ["a", "a.", "a@", "1", "1:", "ab:", "1.", "4111 ", "DE", "+1 2", "/home/", "host-1", "-"]
)
def test_100_kilobytes_of_anything_take_no_time(nasty: str) -> None:
    concealment = Concealment(hides_hosts=True)

    told = concealment.conceal({"host": "web-1", "text": nasty * (100_000 // len(nasty))})

    assert told["host"] == "host-1" or nasty == "host-1"
