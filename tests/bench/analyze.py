"""What an analysis costs: by the local rules, as a whole command, and around a model that answers at once."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
from ai_vendors import GOOD, VENDORS
from local_requests import CheckStatus, alert, check, incident
from report import Figure, Section, median, progress
from sinks import HttpSink

from storage.redaction import redact
from tasks.analyze.providers import build
from tasks.analyze.providers.ai import AiProvider, Meter
from tasks.analyze.providers.local import Local
from tasks.analyze.request import AnalysisRequest
from tasks.check.checkers import CHECKERS

REPETITIONS = 10
QUESTIONS = 50
WATCHKEEPER = [sys.executable, "-m", "deployments.cli"]
COMMANDS = {
    "get-recommendations": [*WATCHKEEPER, "get-recommendations", "--json"],
    "check-health": [*WATCHKEEPER, "check-health", "--json", "--samples", "1"],
    "eval": [*WATCHKEEPER, "eval", "--json"],
    "help": [*WATCHKEEPER, "--help"],
}


def measure() -> Section:
    """The commands first, while nothing else runs."""
    parts = [commands(), rules(), model()]
    return Section(
        "analyze",
        "an analysis",
        [figure for figures, _ in parts for figure in figures],
        [
            f"medians; commands as whole processes, {REPETITIONS} of each in turns; the rest {QUESTIONS} times",
            "the rules get 50 alerts of 4 KB and a reading of each checker; no scan is asked for",
            "the model is a loopback server that answers at once; the clients are imported before",
        ],
        {name: values for _, samples in parts for name, values in samples.items()},
    )


def commands() -> tuple[list[Figure], dict[str, Any]]:
    """Advice about this host beside the health check that it rests on, and the evaluation of the rules."""
    progress("analyze: get-recommendations and eval as whole processes")
    runs = [{name: _run(command) for name, command in COMMANDS.items()} for _ in range(REPETITIONS)]
    seconds = {name: [run[name] for run in runs] for name in COMMANDS}
    middle = {name: median(values) for name, values in seconds.items()}
    figures = [
        Figure("get-recommendations --json", middle["get-recommendations"], "s", "check-health, one sample",
               middle["check-health"]),
        Figure("eval of the local rules", middle["eval"], "s", "--help", middle["help"]),
    ]  # fmt: skip
    return figures, {"command_seconds": seconds}


def rules() -> tuple[list[Figure], dict[str, Any]]:
    """The local rules over a large incident, and what keeping secrets out of it costs."""
    progress("analyze: the local rules")
    local, large, small = Local(Local.Config()), _request(50), _request(1)
    milliseconds = {
        "large": _each_ms(lambda: local.analyze(large)),
        "small": _each_ms(lambda: local.analyze(small)),
        "redact": _each_ms(lambda: redact(large.model_dump(mode="json"))),
        "dump": _each_ms(lambda: large.model_dump(mode="json")),
    }
    middle = {name: median(values) for name, values in milliseconds.items()}
    figures = [
        Figure("local rules, 50 alerts and 21 checks", middle["large"], "ms", "one alert", middle["small"],
               at_most=1000.0, is_below=True),
        Figure("the same as JSON, redacted", middle["redact"], "ms", "only as JSON", middle["dump"]),
    ]  # fmt: skip
    return figures, {"rules_ms": milliseconds}


def model() -> tuple[list[Figure], dict[str, Any]]:
    """What a question costs beside the model's own time: composing, asking and reading the reply."""
    progress("analyze: a question to a model that answers at once")
    vendor, request = VENDORS["openai"], _request(5)
    with HttpSink(default=vendor.answer(json.dumps(GOOD))) as sink:
        provider = build("openai", vendor.config(sink.url))
        assert isinstance(provider, AiProvider)
        prompt = provider.compose(request)
        provider.ask(prompt, Meter())
        body = sink.requests[-1].body
        milliseconds = {
            "ask": _each_ms(lambda: provider.analyze(request)),
            "post": _each_ms(lambda: httpx.post(sink.url, content=body, trust_env=False)),
        }
    figure = Figure("a question, without the model's time", median(milliseconds["ask"]), "ms",
                    "the same request by httpx alone", median(milliseconds["post"]))  # fmt: skip
    return [figure], {"model_ms": milliseconds}


def _request(alerts: int) -> AnalysisRequest:
    words = "the file system of db-03 fills up and nothing is left to write to. " * 60
    about = [
        alert(f"HighCPU{number}", words, instance=f"db-03:9{number}", team="storage") for number in range(alerts)
    ]
    readings = [check(name, CheckStatus.WARNING, f"{name} is over its threshold") for name in CHECKERS]
    return AnalysisRequest(incident=incident(*about), checks=readings, evidence={"hostname": "hub"})


def _each_ms(work: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(QUESTIONS):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def _run(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=False, capture_output=True)
    return time.monotonic() - began
