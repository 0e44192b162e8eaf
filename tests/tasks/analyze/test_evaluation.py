"""The recorded incidents, and how answers about them are judged."""

from collections import Counter
from threading import Event
from typing import Any

import pytest

from storage.records import Analysis, Recommendation
from storage.vocabulary import RecommendationPriority, RecommendationType
from tasks.analyze.evaluation.case import TOPICS, Case, load_cases
from tasks.analyze.evaluation.invention import Told, invented
from tasks.analyze.evaluation.score import Verdict, score
from tasks.analyze.evaluation.trial import examine, most_tokens
from tasks.analyze.providers import build
from tasks.analyze.providers.base import Provider, ProviderSettings
from tasks.analyze.request import AnalysisRequest
from tasks.errors import TransientError
from tasks.hosts import Origin

CASES = load_cases()
SOURCES = {
    "alertmanager",
    "checker",
    "datadog",
    "generic",
    "grafana",
    "newrelic",
    "opsgenie",
    "pagerduty",
    "zabbix",
}
TYPE_OF_TOPIC = {"application": "general"}

# The rules had 43 of 44 right when this was written.
LEAST_RIGHT = 22
LEAST_SHARE_RIGHT = 22 / 24

TOLD = Told(
    "instance db-09.example.net:9100\nhost_ip 10.20.0.11\naddress 2001:db8::5\nmountpoint /var/lib/postgresql/16\n"
    "worst_device vdb\npid 4242\nmessage php8.3-fpm.service has failed\npod api-7d9c5c6f4-q8z2t\nnode k8s-worker-3"
)


def recommendation(**changes: Any) -> Recommendation:
    fields: dict[str, Any] = {
        "type": RecommendationType.DISK,
        "priority": RecommendationPriority.HIGH,
        "title": "Make room",
        "description": "Old logs take most of it",
    }
    return Recommendation(**fields | changes)


def answer(**changes: Any) -> Analysis:
    """A good answer to `case("disk-logs-fill-root")`, but for what changes."""
    fields: dict[str, Any] = {
        "summary": "The root file system of web-11 is nearly full",
        "probable_cause": "Logs below /var/log were never rotated",
        "confidence": 0.8,
        "recommendations": [recommendation()],
    }
    return Analysis.model_construct(**fields | changes)


def case(case_id: str) -> Case:
    return next(case for case in CASES if case.id == case_id)


def judged(**changes: Any) -> Verdict:
    return score(case("disk-logs-fill-root"), answer(**changes))


class Moody(Provider):
    """Fails about one case and answers about the others."""

    kind = "moody"
    Config = ProviderSettings

    def analyze(self, request: AnalysisRequest) -> Analysis:
        if request == CASES[0].request:
            raise TransientError("no answer in time")
        return answer(recommendations=[recommendation(type=CASES[1].expects.type)])


class Interrupted(Provider):
    """Somebody presses Ctrl-C while it is asked for the first time; the others would take a moment."""

    kind = "interrupted"
    Config = ProviderSettings

    def __init__(self, config: Any) -> None:
        del config
        self.asked: list[AnalysisRequest] = []

    def analyze(self, request: AnalysisRequest) -> Analysis:
        self.asked.append(request)
        if len(self.asked) == 1:
            raise KeyboardInterrupt
        Event().wait(0.02)
        return answer()


class TestCases:
    def test_there_are_many_of_every_topic(self) -> None:
        count = Counter(case.topic for case in CASES)

        assert set(count) == set(TOPICS)
        assert min(count.values()) >= 4
        assert len(CASES) >= 24

    def test_each_has_an_id_of_its_own_that_begins_with_its_topic(self) -> None:
        ids = [case.id for case in CASES]

        assert len(set(ids)) == len(ids)
        assert all(case.id.startswith(f"{case.topic}-") for case in CASES)

    def test_each_expects_its_topics_type_and_a_cause(self) -> None:
        for each in CASES:
            assert each.expects.type == TYPE_OF_TOPIC.get(each.topic, each.topic), each.id
            assert each.expects.cause, each.id
            assert all(word.strip() for group in each.expects.cause for word in group), each.id
            assert all(each.expects.cause), each.id

    def test_they_come_from_every_source(self) -> None:
        incidents = [case.request.incident for case in CASES if case.request.incident]

        assert {alert.source for incident in incidents for alert in incident.alerts} == SOURCES

    def test_some_have_no_readings_and_some_those_of_another_host(self) -> None:
        origins = Counter(case.request.origin for case in CASES)

        assert origins[Origin.NONE] >= 3
        assert origins[Origin.OTHER_HOST] >= 3
        assert origins[Origin.UNCLEAR] >= 2
        assert sum(bool(case.request.earlier) for case in CASES) >= 4
        assert any(case.request.incident is None for case in CASES)

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
    def test_each_can_be_won_by_any_of_the_words_that_it_takes(self, case: Case) -> None:
        words = ", ".join(word for group in case.expects.cause for word in group)
        good = answer(
            summary="It is known",
            probable_cause=words,
            recommendations=[recommendation(type=case.expects.type, description="")],
        )

        verdict = score(case, good)

        assert verdict == Verdict(
            type_is_right=True, cause_is_named=True, nothing_is_invented=True, format_is_held=True
        )

    def test_an_answer_that_says_nothing_of_the_cause_wins_none(self) -> None:
        empty = answer(summary="Something is wrong", probable_cause="Unknown", recommendations=[recommendation()])
        silent = empty.model_copy(update={"recommendations": [recommendation(title="Look", description="")]})

        assert not [case.id for case in CASES if score(case, silent).cause_is_named]


class TestLocalRules:
    def test_they_get_most_types_right_and_invent_nothing(self) -> None:
        trials = examine(build("local", {}), CASES)

        right = sum(trial.verdict.type_is_right for trial in trials)
        assert right >= LEAST_RIGHT
        assert right / len(trials) >= LEAST_SHARE_RIGHT
        assert not [t.case.id for t in trials if not t.verdict.nothing_is_invented]
        assert not [t.case.id for t in trials if not t.verdict.format_is_held]

    def test_they_cost_nothing(self) -> None:
        assert most_tokens(build("local", {}), CASES) == 0


class TestTrial:
    def test_a_failure_is_that_cases_verdict_and_the_others_are_asked_all_the_same(self) -> None:
        failed, answered = examine(Moody({}), CASES[:2])

        assert failed.case == CASES[0]
        assert failed.verdict.notes == ("no answer: no answer in time",)
        assert answered.case == CASES[1]
        assert answered.verdict.type_is_right

    def test_who_interrupts_it_does_not_pay_for_all_that_is_left(self) -> None:
        provider = Interrupted({})

        with pytest.raises(KeyboardInterrupt):
            examine(provider, CASES)

        assert len(provider.asked) < len(CASES)


class TestScore:
    def test_a_good_answer_has_nothing_to_note(self) -> None:
        assert judged() == Verdict(
            type_is_right=True, cause_is_named=True, nothing_is_invented=True, format_is_held=True
        )

    def test_only_the_first_recommendations_type_counts(self) -> None:
        cpu = recommendation(type=RecommendationType.CPU)

        assert judged(recommendations=[recommendation(), cpu]).type_is_right
        wrong = judged(recommendations=[cpu, recommendation()])
        assert not wrong.type_is_right
        assert wrong.notes == ("cpu, not disk",)

    @pytest.mark.parametrize(
        "changes",
        [
            {"summary": "LOGS fill it"},
            {"probable_cause": "The log, which nobody rotates"},
            {"recommendations": [recommendation(title="Rotate logs")]},
            {"recommendations": [recommendation(description="See /var/log.")]},
        ],
    )
    def test_the_cause_may_be_named_in_any_text_but_the_actions(self, changes: dict[str, Any]) -> None:
        silent: dict[str, Any] = {
            "summary": "Full",
            "probable_cause": "",
            "recommendations": [recommendation(description="")],
        }

        assert judged(**silent | changes).cause_is_named

    @pytest.mark.parametrize("words", ["blogs and catalogs", "login", "/var/logger"])
    def test_a_cause_is_named_by_whole_words_only(self, words: str) -> None:
        verdict = judged(summary=words, probable_cause="", recommendations=[recommendation(description="")])

        assert not verdict.cause_is_named
        assert "does not name: /var/log" in verdict.notes

    def test_actions_name_no_cause(self) -> None:
        listing = recommendation(description="", actions=["du -xh /var/log | sort -h"])

        assert not judged(probable_cause="", recommendations=[listing]).cause_is_named

    @pytest.mark.parametrize(
        ("words", "is_named"),
        [
            (
                "The alert says: SASL authentication failed; server relay.example.org[198.51.100.25] said: 535",
                False,
            ),
            ("SASL  authentication failed;\nserver relay.example.org[198.51.100.25]", False),
            ("535: SASL authentication failed", True),
            ("The relay refuses us: SASL authentication failed; server relay.example.org[198.51.100.25]", True),
        ],
    )
    def test_who_repeats_the_alert_at_length_has_named_no_cause(self, words: str, is_named: bool) -> None:
        silent = answer(summary="", probable_cause=words, recommendations=[recommendation(description="")])

        assert score(case("application-mail-relay-refuses"), silent).cause_is_named is is_named

    def test_what_our_own_checks_measured_may_be_repeated(self) -> None:
        measured = "nginx.service must run, and has failed (exit-code) since Wed 2026-11-04 04:12:03 UTC"
        silent = answer(summary="", probable_cause=measured, recommendations=[recommendation(description="")])

        assert score(case("process-nginx-failed"), silent).cause_is_named

    def test_of_each_group_a_word_must_be_named(self) -> None:
        both, one = "mysqld was killed for want of memory", "mysqld does not run"

        scores = [
            score(case("process-mysql-gone-memory-full"), answer(summary="", probable_cause=text))
            for text in (both, one)
        ]

        assert [verdict.cause_is_named for verdict in scores] == [True, False]
        assert "does not name: memory" in scores[1].notes

    @pytest.mark.parametrize(
        "changes",
        [
            {"summary": "Like on web-12"},
            {"probable_cause": "Ask 10.9.8.7"},
            {"recommendations": [recommendation(title="Empty /srv/old")]},
            {"recommendations": [recommendation(description="web-12 is full as well")]},
            {"recommendations": [recommendation(actions=["systemctl restart apache2"])]},
            {"recommendations": [recommendation(details={"process": {"pid": 31337}})]},
        ],
    )
    def test_what_is_invented_is_found_in_every_text(self, changes: dict[str, Any]) -> None:
        verdict = judged(**changes)

        assert not verdict.nothing_is_invented
        assert "invents" in "".join(verdict.notes)

    def test_a_case_may_allow_a_name(self) -> None:
        known = case("disk-logs-fill-root")
        expects = known.expects.model_copy(update={"may_name": ["web-12"]})

        verdict = score(known.model_copy(update={"expects": expects}), answer(summary="As on web-12"))

        assert verdict.nothing_is_invented

    @pytest.mark.parametrize(
        ("changes", "note"),
        [
            ({"recommendations": []}, "no recommendation"),
            ({"confidence": None}, "no confidence"),
            ({"confidence": 1.2}, "confidence 1.2 is not within 0 and 1"),
            ({"confidence": -0.1}, "confidence -0.1 is not within 0 and 1"),
            ({"confidence": float("nan")}, "confidence nan is not within 0 and 1"),
            ({"summary": " "}, "summary is empty"),
            ({"summary": "a" * 2_041}, "characters of the summary: 2041, 2040 at most"),
            ({"probable_cause": "a" * 2_001}, "characters of the cause: 2001, 2000 at most"),
            ({"recommendations": [recommendation(title="")]}, "title is empty"),
            ({"recommendations": [recommendation(title="a" * 151)]}, "characters of a title: 151, 150 at most"),
            (
                {"recommendations": [recommendation(description="a" * 2_001)]},
                "characters of a description: 2001, 2000 at most",
            ),
            ({"recommendations": [recommendation()] * 9}, "recommendations: 9, 8 at most"),
            ({"recommendations": [recommendation(actions=["id"] * 12)]}, "actions: 12, 11 at most"),
            (
                {"recommendations": [recommendation(actions=["id", "a" * 501])]},
                "characters of an action: 501, 500 at most",
            ),
        ],
    )
    def test_a_format_that_is_not_held_is_named(self, changes: dict[str, Any], note: str) -> None:
        verdict = judged(**changes)

        assert not verdict.format_is_held
        assert note in verdict.notes

    def test_a_format_may_go_to_its_bounds(self) -> None:
        long = recommendation(title="a" * 150, description="a" * 2_000, actions=["a" * 500] * 11)

        assert judged(
            summary="a" * 2_040, probable_cause="a" * 2_000, confidence=1.0, recommendations=[long] * 8
        ).format_is_held
        assert judged(confidence=0.0).format_is_held

    def test_an_error_earns_nothing_and_tells_no_secret(self) -> None:
        error = TransientError("gateway\n answered 503: Authorization: Bearer s3cr3t-9")

        verdict = score(CASES[0], error)

        assert verdict == Verdict(
            type_is_right=False,
            cause_is_named=False,
            nothing_is_invented=False,
            format_is_held=False,
            has_answer=False,
            notes=verdict.notes,
        )
        [note] = verdict.notes
        assert note.startswith("no answer: gateway answered 503")
        assert "s3cr3t" not in note

    def test_an_error_without_words_or_with_too_many_is_told_in_a_line(self) -> None:
        assert score(CASES[0], KeyError()).notes == ("no answer: KeyError",)
        [long] = score(CASES[0], ValueError("a" * 5_000)).notes
        assert len(long) == len("no answer: ") + 300


class TestInvention:
    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("web-07 is down", "host web-07"),
            ("see ip-10-0-0-12", "host ip-10-0-0-12"),
            ("as on db01", "host db01"),
            ("as on worker12", "host worker12"),
            ("db-08.example.net is its replica", "host db-08.example.net"),
            ("db-09.example.com answers", "host db-09.example.com"),
            ("pod api-7d9c5c6f4-zzzzz was killed", "host api-7d9c5c6f4-zzzzz"),
            ("https://wiki.acme.example/fix says so", "host wiki.acme.example"),
            ("ssh root@db-primary", "host db-primary"),
            ("look first; sudo ping -c 3 db-primary", "host db-primary"),
            ("10.20.0.12 refuses", "address 10.20.0.12"),
            ("connect to 10.20.0.1:5432", "address 10.20.0.1"),
            ("http://192.168.7.7:8080/status", "address 192.168.7.7"),
            ("ping6 2001:db8::6", "address 2001:db8::6"),
            ("ls /srv/orders/current", "path /srv/orders/current"),
            ("du -sh /var/lib/postgresql/16/main", "path /var/lib/postgresql/16/main"),
            ("rm /opt/app/cache/*.tmp", "path /opt/app/cache"),
            ("look at /var/lib/postgresql/1.", "path /var/lib/postgresql/1"),
            ("fsck /dev/sda1", "path /dev/sda1"),
            ("ls /etcetera/x", "path /etcetera/x"),
            ("scp db-09:/srv/dump.sql .", "path /srv/dump.sql"),
            ("kill -9 4243", "pid 4243"),
            ("kill -s TERM 4243", "pid 4243"),
            ("the process (pid 4243) grows", "pid 4243"),
            ("PIDs 4242, 4243 grow", "pid 4243"),
            ("ps -o pid,args -p 4242,4243", "pid 4243"),
            ("cat /proc/4243/status", "pid 4243"),
            ("jstack -l 4243", "pid 4243"),
            ("systemctl restart nginx", "unit nginx"),
            ("systemctl --no-pager status nginx.service", "unit nginx"),
            ("journalctl -u nginx --since today", "unit nginx"),
            ("journalctl --unit=nginx", "unit nginx"),
            ("php-fpm.service has failed", "unit php-fpm"),
            ("data.mount is gone", "unit data"),
            ("web-07.service has failed", "unit web-07"),
        ],
    )
    def test_a_name_that_nobody_told_is_found(self, text: str, named: str) -> None:
        assert invented(text, TOLD) == [named]

    @pytest.mark.parametrize(
        "text",
        [
            "db-09 and DB-09.example.net are the same host, k8s-worker-3 is another",
            "ssh db-09  # then look",
            "ping -c 3 db-09.example.net",
            "ping the gateway from another host, and ssh to it",
            "api-7d9c5c6f4-q8z2t was killed",
            "10.20.0.11:5432 and 2001:0db8:0:0::5 refuse, and so does http://[2001:db8::5]:9100/metrics",
            "curl -s http://localhost:9100/metrics; nc -zv 127.0.0.1 9000; ping 8.8.8.8",
            "ss -ltn | grep '0.0.0.0:5432\\|::1'",
            "at 03:12:45 the MAC aa:bb:cc:dd:ee:ff moved, version 18.6.3",
            "df -h /var/lib/postgresql; df -i /; ls /var/lib",
            "du -xh /var/lib/postgresql/16/* 2>/dev/null | sort -h",
            "smartctl -a /dev/vdb; lsblk /dev/sdX",
            "tail /var/log/syslog /etc/fstab; cat /proc/meminfo /proc/<pid>/status > /tmp/out.txt",
            "read/write and I/O at 41 MB/s, 5/8 of it and/or more",
            "ps -eo pid,stat,comm | awk '$2 ~ /^[ZD]/ || /defunct/'",
            "sed -n '/error/p' access.log",
            "kill -9 4242; strace -p 4242; ps -p 1; kill <pid>",
            "ssh -p 2222 db-09",
            "systemctl restart php8.3-fpm; systemctl --failed; journalctl -u <unit> -n 50",
            "systemctl status UNIT; systemctl daemon-reload; systemctl status of the unit",
            "php8.3-fpm.service has failed; look at sshd and systemd-resolved.service",
            "top-10 of UTF-8, exit-1, RAID-1, CVE-2026-1234, x86-64, p99, sha256, ext4, eth0, md0, nvme0n1",
            "Log4j 2.17, python3.11, node.js, Fri 2026-11-20",
            "",
        ],
    )
    def test_what_was_told_and_what_is_on_every_host_is_no_invention(self, text: str) -> None:
        assert invented(text, TOLD) == []

    def test_each_invention_is_told_once(self) -> None:
        assert invented("web-07, web-07 and /srv/x", TOLD) == ["host web-07", "path /srv/x"]
