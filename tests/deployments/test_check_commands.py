"""check-health and run-check as people, scripts and monitoring systems use them."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest
from commands import Said
from commands import watchkeeper as in_process
from hung_mount import hung_mount, taken_mount

from deployments.commands.check_output import print_json
from deployments.commands.check_report import as_json, exit_code, print_results
from storage.records import CheckResult
from storage.vocabulary import CheckStatus
from tasks.check.checkers import CHECKERS, DEFAULTS

# However busy the host is, that is quick and good.
QUICK = {"cpu": {"samples": 1, "sample_interval": 0.05, "warning_threshold": 101, "critical_threshold": 101}}
# Nothing is below 0 per cent, so each of these is bad whatever the host is like.
ALWAYS_WARNING = ("--warning-threshold", "0", "--critical-threshold", "101")
ALWAYS_CRITICAL = ("--warning-threshold", "0", "--critical-threshold", "0")


def env_of(checkers: object = QUICK) -> dict[str, str]:
    # PYTHONUNBUFFERED, which build machines like to set, would hide what is left in a buffer.
    ours = ("WATCHKEEPER_", "PREFECT_", "PYTHONUNBUFFERED")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    text = checkers if isinstance(checkers, str) else json.dumps(checkers)
    return {**clean, "WATCHKEEPER_CHECKERS": text}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deployments.cli", *arguments]


def watchkeeper(*arguments: str, checkers: object = QUICK) -> Said:
    """Within this process, which is quicker."""
    with patch.dict(os.environ, env_of(checkers), clear=True):
        return in_process(*arguments)


def real_watchkeeper(*arguments: str, checkers: object = QUICK, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env={**env_of(checkers), **env},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def result(status: CheckStatus, name: str = "cpu", message: str = "all is said") -> CheckResult:
    return CheckResult(checker_name=name, status=status, message=message)


class TestCheckHealth:
    def test_table_has_a_line_for_each_checker_and_one_for_them_all(self) -> None:
        said = real_watchkeeper("check-health")

        heading, *rows, last = said.stdout.splitlines()
        assert said.returncode == 0, said.stderr
        assert heading.split() == ["checker", "status", "time", "message"]
        assert [row.split()[0] for row in rows] == list(DEFAULTS)
        assert re.fullmatch(r"[A-Z]+: \d+ [a-z]+(, \d+ [a-z]+)*", last)
        assert sum(map(int, re.findall(r"\d+", last))) == len(DEFAULTS)

    def test_checkers_are_those_named_in_that_order(self) -> None:
        said = watchkeeper("check-health", "memory", "cpu", "memory")

        assert [line.split()[0] for line in said.text.splitlines()[1:-1]] == ["memory", "cpu"]

    def test_configured_checkers_run_beside_the_default_ones(self) -> None:
        said = watchkeeper("check-health", "--json", checkers={**QUICK, "process": {"processes": ["nobody's"]}})

        names = [check["checker_name"] for check in json.loads(said.text)["checks"]]
        assert set(names) == {*DEFAULTS, "process"}

    def test_json_says_all_and_counts_it(self) -> None:
        configs = {"memory": {"warning_threshold": 0}, "disk": {"paths": ["/no/such/place"]}, **QUICK}

        said = watchkeeper("check-health", "cpu", "memory", "disk", "http", "--json", checkers=configs)

        form = json.loads(said.text)
        checks = {check["checker_name"]: check for check in form["checks"]}
        assert form["status"] == "warning"
        assert form["hostname"] == os.uname().nodename
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", form["checked_at"])
        assert (form["checks_run"], form["checks_failed"], form["checks_skipped"]) == (4, 2, 1)
        assert form["checks_passed"] == 1
        assert [CheckResult.model_validate(check).checker_name for check in form["checks"]] == list(checks)
        assert checks["disk"]["status"] == "unknown"
        assert checks["memory"]["metrics"]["memory_percent"] > 0

    def test_json_is_utf_8_whatever_the_terminal_takes(self, tmp_path: Path) -> None:
        configs = {"disk": {"paths": [str(tmp_path / "größer")]}}

        said = real_watchkeeper("check-health", "disk", "--json", checkers=configs, PYTHONIOENCODING="ascii")
        told = real_watchkeeper("check-health", "disk", checkers=configs, PYTHONIOENCODING="ascii")

        assert "größer" in json.loads(said.stdout)["checks"][0]["message"]
        assert "gr\\xf6\\xdfer" in told.stdout

    def test_samples_are_those_of_the_flag(self) -> None:
        said = watchkeeper("check-health", "cpu", "--samples", "3", "--json")

        [check] = json.loads(said.text)["checks"]
        assert check["metrics"]["samples"] == 3
        assert check["warning_threshold"] == QUICK["cpu"]["warning_threshold"]

    def test_list_says_what_there_is_and_what_is_checked_by_default(self) -> None:
        said = watchkeeper("check-health", "--list", checkers="{}")
        form = json.loads(watchkeeper("check-health", "--list", "--json", checkers="{}").text)

        assert [line.split()[0] for line in said.text.splitlines()[1:]] == list(CHECKERS)
        assert [each["name"] for each in form if each["is_default"]] == list(DEFAULTS)
        assert {each["name"]: each["measures"] for each in form} == {
            name: checker.measures for name, checker in CHECKERS.items()
        }

    def test_all_skipped_is_no_failure_and_is_said(self) -> None:
        said = watchkeeper("check-health", "http", "certificate", "--fail-on-warning")

        assert said.code == 0
        assert said.text.splitlines()[-1] == "SKIPPED: 2 skipped; nothing could be checked"


class TestRunCheck:
    def test_status_comes_first_and_then_the_metrics(self) -> None:
        said = watchkeeper("run-check", "cpu", "--per-cpu")

        first, *metrics, last = said.text.splitlines()
        assert re.fullmatch(r"CPU (OK|WARNING|CRITICAL): CPU \d+\.\d % busy.*", first)
        assert [line.split()[0] for line in metrics] == [
            "cpu_percent",
            "cpu_min",
            "cpu_max",
            "samples",
            "cpu_count",
            "per_cpu_percent",
        ]
        assert re.fullmatch(r"took \d+ ms; warning 101, critical 101", last)

    def test_nested_metrics_stand_in_a_line_each(self, tmp_path: Path) -> None:
        said = watchkeeper("run-check", "disk", "--paths", "/", str(tmp_path))

        lines = said.text.splitlines()
        assert lines[1] == "disks"
        assert re.match(r"  /  +percent [\d.]+, total_gb [\d.]+, ", lines[2])
        assert lines[3].startswith(f"  {tmp_path} ")

    def test_json_is_the_result(self) -> None:
        said = watchkeeper("run-check", "memory", "--json")

        assert CheckResult.model_validate_json(said.text).checker_name == "memory"

    def test_flags_come_before_the_config_flag_and_that_before_the_settings(self) -> None:
        configs = {"cpu": {"samples": 4, "sample_interval": 0.02, "per_cpu": True, "warning_threshold": 11}}

        said = watchkeeper(
            *("run-check", "cpu", "--samples", "2", "--no-per-cpu", "--json"),
            *("--config", '{"samples": 3, "warning_threshold": 22, "critical_threshold": 99}'),
            checkers=configs,
        )

        form = json.loads(said.text)
        assert form["metrics"]["samples"] == 2
        assert "per_cpu_percent" not in form["metrics"]
        assert (form["warning_threshold"], form["critical_threshold"]) == (22, 99)
        assert form["duration_ms"] < 500

    def test_names_are_processes_and_may_be_objects_in_json(self) -> None:
        pattern = {"pattern": "[p]ytest", "name": "the tests"}

        named = watchkeeper("run-check", "process", "--names", "no such one", "nor this", "--json")
        config = json.dumps({"processes": [pattern]})
        matched = watchkeeper("run-check", "process", "--config", config, "--json")

        assert list(json.loads(named.text)["metrics"]["processes"]) == ["no such one", "nor this"]
        assert list(json.loads(matched.text)["metrics"]["processes"]) == ["the tests"]

    @pytest.mark.parametrize("name", CHECKERS)
    def test_help_shows_a_flag_for_each_key_that_a_single_check_knows(self, name: str) -> None:
        said = watchkeeper("run-check", name, "--help")

        shown = set(re.findall(r"--[a-z-]+", said.text))
        keys = set(CHECKERS[name].Config.model_fields) - {"confirmations", "clear", "headers"}
        assert said.code == 0
        assert {f"--{key.replace('_', '-')}" for key in keys} <= shown
        assert not shown & {"--for", "--confirmations", "--clear"}
        assert {"--json", "--config", "--fail-on-warning", "--fail-on-critical"} <= shown

    def test_help_shows_defaults(self) -> None:
        said = watchkeeper("run-check", "cpu", "--help")

        assert re.search(r"--samples INT\s+\[default: 5\]", said.text)
        assert re.search(r"--warning-threshold FLOAT\s+Warning from this on, in %\. \[default: 70\]", said.text)


class TestExitCodes:
    @pytest.mark.parametrize(
        ("flags", "config", "codes"),
        [
            (ALWAYS_WARNING, {}, (0, 1, 0, 1)),
            (ALWAYS_CRITICAL, {}, (0, 2, 2, 2)),
            ((), {"paths": ["/no/such/place"]}, (0, 3, 3, 3)),
            (("--warning-threshold", "101", "--critical-threshold", "101"), {}, (0, 0, 0, 0)),
        ],
        ids=["warning", "critical", "unknown", "ok"],
    )
    def test_run_check_tells_its_verdict_only_when_asked(
        self, flags: Sequence[str], config: dict[str, Any], codes: tuple[int, ...]
    ) -> None:
        asked = [[], ["--fail-on-warning"], ["--fail-on-critical"], ["--fail-on-warning", "--fail-on-critical"]]
        arguments = ("run-check", "disk", *flags, "--config", json.dumps({"paths": ["/"], **config}))

        assert tuple(watchkeeper(*arguments, *fail).code for fail in asked) == codes

    @pytest.mark.parametrize(
        ("statuses", "on_warning", "on_critical"),
        [
            ("ok", 0, 0),
            ("ok skipped", 0, 0),
            ("skipped", 0, 0),
            ("ok warning", 1, 0),
            ("warning unknown", 1, 3),
            ("warning unknown critical", 2, 2),
            ("unknown critical", 2, 2),
            ("unknown ok skipped", 3, 3),
        ],
    )
    def test_worst_of_several_decides_as_monitoring_plugins_have_it(
        self, statuses: str, on_warning: int, on_critical: int
    ) -> None:
        results = [result(CheckStatus(status)) for status in statuses.split()]

        assert exit_code(results, fail_on_warning=False, fail_on_critical=False) == 0
        assert exit_code(results, fail_on_warning=True, fail_on_critical=False) == on_warning
        assert exit_code(results, fail_on_warning=False, fail_on_critical=True) == on_critical
        assert exit_code(results, fail_on_warning=True, fail_on_critical=True) == on_warning

    def test_check_health_ends_with_the_worst(self) -> None:
        configs = {"memory": {"warning_threshold": 0, "critical_threshold": 101}}

        said = watchkeeper("check-health", "memory", "http", "--fail-on-warning", checkers=configs)

        assert said.code == 1
        assert said.text.splitlines()[-1] == "WARNING: 1 warning, 1 skipped"


class TestWrongUse:
    @pytest.mark.parametrize(
        ("arguments", "checkers", "said"),
        [
            (["check-health", "cup"], {}, "unknown checker 'cup'; one of cpu, "),
            (["check-health", "--list", "cup"], {}, "unknown checker 'cup'; one of cpu, "),
            (["check-health", "--nosuch"], {}, "--nosuch"),
            (["check-health", "--samples", "many"], {}, "--samples"),
            (["check-health", "--samples", "0"], {}, "checker cpu: config key 'samples'"),
            (["check-health"], {"cup": {}}, "WATCHKEEPER_CHECKERS: unknown checker 'cup'"),
            (
                ["check-health"],
                {"cpu": {"sample": 1}},
                "WATCHKEEPER_CHECKERS: checker cpu: unknown config key 'sample'",
            ),
            (["check-health"], "{", "WATCHKEEPER_CHECKERS: must be JSON"),
            (["check-health"], '{"cpu": 1}', "WATCHKEEPER_CHECKERS"),
            (["run-check"], {}, "name the checker first; one of cpu, "),
            (["run-check", "--samples", "1", "cpu"], {}, "name the checker first; one of cpu, "),
            (["run-check", "cup", "--samples", "1"], {}, "unknown checker 'cup'; one of cpu, "),
            (["run-check", "cpu", "disk"], {}, "disk"),
            (["run-check", "cpu", "--paths", "/"], {}, "--paths"),
            (["run-check", "cpu", "--samples"], {}, "--samples"),
            (["run-check", "cpu", "--samples", "x"], {}, "--samples"),
            (["run-check", "load", "--minutes", "7"], {}, "--minutes"),
            (["run-check", "cpu", "--warning-threshold", "95"], {}, "warning_threshold 95 must not be above"),
            (["run-check", "disk", "--paths", "relative"], {}, "'paths.0'"),
            (["run-check", "cpu", "--config", "{"], {}, "--config is not JSON"),
            (["run-check", "cpu", "--config", "[]"], {}, "--config must be a JSON object"),
            (["run-check", "cpu", "--config", '{"nosuch": 1}'], {}, "unknown config key 'nosuch'"),
            (["run-check", "cpu"], {"cup": {}}, "WATCHKEEPER_CHECKERS: unknown checker 'cup'"),
        ],
    )
    def test_it_is_named_and_never_looks_like_a_verdict(
        self, arguments: list[str], checkers: object, said: str
    ) -> None:
        plain = watchkeeper(*arguments, checkers=checkers)
        asked = [
            watchkeeper(*arguments, flag, checkers=checkers)
            for flag in ("--fail-on-warning", "--fail-on-critical")
        ]

        assert said in unframed(plain.stderr)
        assert "Traceback" not in plain.stderr
        assert plain.text == ""
        assert [plain.code, *(each.code for each in asked)] == [2, 3, 3]

    def test_a_real_process_ends_with_that_too(self) -> None:
        assert real_watchkeeper("check-health", "--nosuch").returncode == 2
        assert real_watchkeeper("check-health", "--nosuch", "--fail-on-warning").returncode == 3
        assert real_watchkeeper("run-check", "cup", "--fail-on-critical=true").returncode == 3

    def test_what_nobody_foresaw_does_not_look_like_a_warning(self) -> None:
        with Path("/dev/full").open("w") as full:
            codes = [
                subprocess.run(
                    command("check-health", "memory", *flags),
                    env=env_of(),
                    stdout=full,
                    stderr=subprocess.PIPE,
                    timeout=60,
                    check=False,
                ).returncode
                for flags in ([], ["--fail-on-warning"])
            ]

        assert codes == [1, 3]


class TestOutput:
    def test_nothing_is_cut_or_coloured_in_a_pipe(self) -> None:
        paths = [f"/no/such/{'place/' * 30}{number}" for number in range(3)]

        said = real_watchkeeper("check-health", "disk", checkers={"disk": {"paths": paths}}, COLUMNS="80")

        [row] = said.stdout.splitlines()[1:-1]
        assert all(path in row for path in paths)
        assert "\x1b" not in said.stdout
        assert not re.search(r" $", said.stdout, re.MULTILINE)

    def test_a_terminal_gets_colours_and_lines_of_its_width(self) -> None:
        env = {**env_of(), "TERM": "xterm-256color", "COLUMNS": "60"}
        for name in ("NO_COLOR", "FORCE_COLOR"):
            env.pop(name, None)

        shown = on_a_terminal(command("check-health", "http", "certificate"), env)

        lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
        assert "\x1b[2mskipped" in shown
        assert max(map(len, lines)) <= 60
        assert "".join(lines).replace(" ", "").count("isnamed(configkey") == 2

    def test_messages_do_not_steer_the_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_results([result(CheckStatus.OK, message="[bold]\x1b[2J\nroot ok \udcff")])

        assert "[bold]\\x1b[2J\\nroot ok \\udcff" in capsys.readouterr().out

    def test_json_is_json_whatever_a_checker_let_through(self, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        print_json({"share": float("nan"), "name": "\udcff", "city": "Köln"})

        printed = capfdbinary.readouterr().out
        assert json.loads(printed) == {"share": None, "name": "\udcff", "city": "Köln"}
        assert "Köln".encode() in printed

    @pytest.mark.parametrize(
        "arguments", [["check-health"], ["check-health", "--json"], ["check-health", "--list"]]
    )
    def test_a_reader_that_leaves_is_no_reason_to_complain(self, arguments: list[str]) -> None:
        with subprocess.Popen(
            command(*arguments), env=env_of(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stderr
            process.stdout.close()
            complaint = process.stderr.read()

        assert complaint == b""
        assert process.returncode == 0

    def test_counts_are_those_of_the_check_stage(self) -> None:
        statuses = [CheckStatus.OK, CheckStatus.UNKNOWN, CheckStatus.WARNING, CheckStatus.SKIPPED]

        form = as_json([result(status) for status in statuses], hostname="web-1")

        assert form["status"] is CheckStatus.WARNING
        assert [form[f"checks_{each}"] for each in ("run", "passed", "failed", "skipped")] == [4, 1, 2, 1]


class TestProcess:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["check-health"],
            ["check-health", "--json"],
            ["check-health", "--list"],
            ["run-check", "memory"],
            ["--help"],
        ],
    )
    def test_neither_prefect_nor_sql_nor_flask_is_imported(self, arguments: list[str]) -> None:
        program = (
            "import sys\n"
            "from deployments.cli import main\n"
            f"sys.argv[1:] = {arguments}\n"
            "try:\n    main()\n"
            "finally:\n    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        )

        said = subprocess.run(
            [sys.executable, "-c", program], env=env_of(), capture_output=True, text=True, timeout=60, check=False
        )

        loaded = set(said.stderr.split())
        assert said.returncode == 0
        assert "deployments" in loaded
        assert not loaded & {"prefect", "sqlalchemy", "alembic", "psycopg", "flask", "werkzeug", "httpx"}
        assert not loaded & {"openai", "anthropic", "flows", "webhook_app"}

    def test_it_starts_fast(self) -> None:
        seconds = min(took(command("check-health", "--json", "--samples", "1")) for _ in range(2))
        help_seconds = min(took(command("--help")) for _ in range(2))

        assert seconds < 2.5
        assert help_seconds < 1.5

    def test_ctrl_c_ends_it_quietly_with_its_fork(self) -> None:
        with subprocess.Popen(
            command("run-check", "cpu", "--samples", "8", "--sample-interval", "1"),
            env=env_of("{}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            fork = wait_for_fork(process)
            process.send_signal(signal.SIGINT)
            printed = process.communicate(timeout=10)

        assert printed == (b"", b"")
        assert process.returncode == 130
        assert not fork.is_running()

    def test_a_fork_that_dies_makes_its_checkers_unknown(self) -> None:
        with subprocess.Popen(
            command("run-check", "cpu", "--samples", "8", "--json", "--fail-on-warning"),
            env=env_of("{}"),
            stdout=subprocess.PIPE,
        ) as process:
            wait_for_fork(process).kill()
            printed, _ = process.communicate(timeout=10)

        assert json.loads(printed)["error"] == "the checkers' process died"
        assert process.returncode == 3

    def test_a_hung_mount_costs_the_timeout_and_the_others_still_count(self, tmp_path: Path) -> None:
        with hung_mount(tmp_path / "hung") as path, ended(health_of(path), within_seconds=10) as (printed, code):
            assert_only_disk_hung(printed, code)

    def test_a_mount_that_holds_its_process_holds_up_neither_the_answer_nor_the_end(self, tmp_path: Path) -> None:
        with taken_mount(tmp_path / "taken") as path, ended(health_of(path), within_seconds=10) as (printed, code):
            assert_only_disk_hung(printed, code)


def health_of(path: Path) -> tuple[list[str], dict[str, str]]:
    configs = {**QUICK, "disk": {"paths": ["/", str(path)], "timeout": 1.0}}
    return command("check-health", "cpu", "disk", "memory", "--json", "--fail-on-warning"), env_of(configs)


def assert_only_disk_hung(printed: str, code: int) -> None:
    checks = {check["checker_name"]: check for check in json.loads(printed)["checks"]}
    assert checks["disk"]["status"] == "unknown"
    assert checks["disk"]["duration_ms"] < 2000
    assert checks["memory"]["metrics"]["memory_percent"] > 0
    assert code in {1, 2, 3}  # the host may be busy besides


@contextmanager
def ended(started: tuple[list[str], dict[str, str]], *, within_seconds: float) -> Iterator[tuple[str, int]]:
    """What a process printed until its end, and its exit code. One that does not end is left for later."""
    arguments, env = started
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, text=True)
    try:
        printed, _ = process.communicate(timeout=within_seconds)
        yield printed, process.returncode
    finally:
        process.kill()
        assert process.stdout
        process.stdout.close()


def wait_for_fork(process: "subprocess.Popen[bytes]") -> psutil.Process:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if forks := psutil.Process(process.pid).children():
            return forks[0]
        time.sleep(0.01)
    raise AssertionError("it never began to measure")


def took(arguments: Sequence[str]) -> float:
    started = time.monotonic()
    subprocess.run(arguments, env=env_of("{}"), stdout=subprocess.DEVNULL, check=True, timeout=60)
    return time.monotonic() - started


def on_a_terminal(arguments: Sequence[str], env: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(arguments, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that nobody holds the other end any more
                break
            if not chunk:
                break
            shown += chunk
        process.wait(10)
    os.close(ours)
    return shown.decode()


def unframed(text: str) -> str:
    """Words as they were before they were put in a frame."""
    return " ".join(text.replace("│", " ").split())
