"""What holds for every AI provider and is the same code for all, tried with one."""

import gzip
import importlib
import json
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from ai_vendors import GOOD, VENDORS
from networks import closed_port
from raw_server import raw_server
from sinks import Answer, HttpSink, certificate_files

from storage.records import Tokens
from storage.tables import AnalysisRun, IntelligenceProvider
from tasks.analyze.offers import saved_fields
from tasks.analyze.providers import PROVIDERS, build
from tasks.analyze.providers.ai import MAX_MODEL_CHARS, AiProvider, Meter
from tasks.analyze.providers.openai import OpenAi
from tasks.analyze.request import AnalysisRequest
from tasks.errors import PermanentError, TransientError

ROOT = Path(__file__).parents[4]
QUESTION = AnalysisRequest(incident=None, evidence={"hostname": "web-1"})
VENDOR = VENDORS["openai"]
REPLY = json.dumps(GOOD)
VENDOR_SHAPED_KEY = "sk-proj-" + "planted1" * 4
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the sink's certificate alone: every client loads all that is trusted, and the system's are many."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate_files()[0]))


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import the clients before the first test, as its deadline would pass with that."""
    built = provider("http://127.0.0.1:9")
    built._agent(built._client(), built.compose(QUESTION))


def provider(url: str, **config: object) -> AiProvider:
    built = build("openai", VENDOR.config(url) | config)
    assert isinstance(built, AiProvider)
    return built


def ask(url: str, *, within_seconds: float | None = None, **config: object) -> object:
    asked = provider(url, **config)
    return asked.ask(asked.compose(QUESTION), Meter(), within_seconds=within_seconds)


def refusal(*answers: Answer, **config: object) -> str:
    with HttpSink(answers) as sink, pytest.raises(PermanentError) as refused:
        ask(sink.url, **config)
    return str(refused.value)


def test_every_vendor_is_in_the_contract_tests():
    assert {kind for kind, provider in PROVIDERS.items() if issubclass(provider, AiProvider)} == set(VENDORS)


@pytest.mark.parametrize(
    ("kind", "model", "variable", "base_url"),
    [
        ("openai", "gpt-4o-mini", "OPENAI_API_KEY", "https://api.openai.com/v1"),
        ("claude", "claude-sonnet-4-20250514", "ANTHROPIC_API_KEY", "https://api.anthropic.com"),
        ("gemini", "gemini-2.0-flash", "GEMINI_API_KEY", "https://generativelanguage.googleapis.com"),
        ("copilot", "gpt-4o", "COPILOT_GITHUB_TOKEN", "https://api.githubcopilot.com"),
        ("grok", "grok-3-mini", "XAI_API_KEY", "https://api.x.ai/v1"),
        ("ollama", "llama3.1", "", "http://127.0.0.1:11434/v1"),
        ("mistral", "mistral-small-latest", "MISTRAL_API_KEY", "https://api.mistral.ai"),
    ],
)
def test_vendor_needs_no_more_than_a_key(monkeypatch, kind, model, variable, base_url):
    if variable:
        monkeypatch.setenv(variable, "planted")

    built = build(kind, {})

    assert isinstance(built, AiProvider)
    assert (built.config.model, built.config.base_url) == (model, base_url)


@pytest.mark.parametrize("status", [408, 425, 502, 504, 529])
def test_further_statuses_that_pass_with_time(status):
    with HttpSink([VENDOR.error(status, "busy")]) as sink, pytest.raises(TransientError):
        ask(sink.url)


@pytest.mark.parametrize("status", [400, 402, 403, 409, 422])
def test_further_statuses_that_do_not_pass(status):
    assert refusal(VENDOR.error(status, "no")) == f"127.0.0.1 answered {status}: no"


def test_spent_quota_does_not_pass_although_it_comes_as_a_429():
    body = {"error": {"message": "pay first", "type": "insufficient_quota", "code": "insufficient_quota"}}

    assert (
        refusal(Answer(429, headers=JSON, body=json.dumps(body).encode())) == "127.0.0.1 answered 429: pay first"
    )


@pytest.mark.parametrize(
    ("wish", "seconds"), [("9999999", 86_400), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None)]
)
def test_wish_to_be_left_alone_is_bounded(wish, seconds):
    with HttpSink([VENDOR.error(429, "busy", retry_after=wish)]) as sink, pytest.raises(TransientError) as passing:
        ask(sink.url)

    assert passing.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "text",
    [f"```json\n{REPLY}\n```", f"```\n{REPLY}\n```", f"\n  {REPLY}\n"],
    ids=["json", "plain", "white space"],
)
def test_further_wrappings_are_read(text):
    with HttpSink([VENDOR.answer(text)]) as sink:
        ask(sink.url)

    assert len(sink.requests) == 1


def test_reply_cut_off_before_its_first_word_says_so():
    answer = VENDOR.answer("", ending="cut")

    assert refusal(answer) == "the reply of gpt-4o-mini was cut off at max_tokens (1500)"


def test_reply_that_fits_counts_although_it_was_cut_off():
    with HttpSink([VENDOR.answer(REPLY, ending="cut")]) as sink:
        ask(sink.url)

    assert len(sink.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>log in first</html>", b'{"id": ', b"null", b"[]", b"", b"[" * 90_000, b"\xff"],
    ids=["html", "broken", "null", "list", "nothing", "depth", "bytes"],
)
def test_answer_without_a_json_object_is_refused(body):
    assert refusal(Answer(headers=JSON, body=body)) == "127.0.0.1 answered 200 without a JSON object"


def test_compressed_answer_is_bounded_as_it_unfolds():
    bomb = gzip.compress(b" " * 5_000_000)
    answer = Answer(headers=JSON | {"Content-Encoding": "gzip"}, body=bomb)

    assert len(bomb) < 10_000
    assert refusal(answer) == "127.0.0.1 answered with more than 1000000 bytes"


def test_connection_that_is_closed_unanswered_is_transient():
    with raw_server(lambda _: None) as url, pytest.raises(TransientError, match="RemoteProtocolError"):
        ask(url)


def test_port_that_nobody_listens_on_is_transient():
    with pytest.raises(TransientError, match=r"^127.0.0.1: Connection refused$"):
        ask(f"http://127.0.0.1:{closed_port()}")


def test_host_of_two_addresses_that_both_refuse_says_why(monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, closed_port()))
        for address in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(TransientError, match=r"^models.example: Connection refused$"):
        ask("http://models.example")


def test_look_up_of_a_name_that_hangs_does_not_hold_the_thread(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))
    started = time.monotonic()

    with pytest.raises(TransientError, match=r"^models.example did not answer within 0.2 s$"):
        ask("http://models.example", timeout_seconds=0.2)

    assert time.monotonic() - started < 10
    over.set()


@pytest.mark.parametrize(
    ("within_seconds", "timeout_seconds", "said"),
    [(0.5, 40, "did not answer within 0.5 s"), (50, 0.3, "did not answer within 0.3 s")]
    + [(seconds, 40, "was not asked: setting up took too much of 0 s") for seconds in (0, -3)],
)
def test_the_shorter_of_two_deadlines_holds(within_seconds, timeout_seconds, said):
    with HttpSink([Answer(delay_seconds=2)]) as sink, pytest.raises(TransientError) as passing:
        ask(sink.url, within_seconds=within_seconds, timeout_seconds=timeout_seconds)

    assert str(passing.value) == f"127.0.0.1 {said}"


class Slow(OpenAi):
    """Its client takes its time to be set up, as each does that is imported for the first time."""

    def model(self, client):
        time.sleep(0.3)
        return super().model(client)


def test_setting_up_counts_against_the_callers_deadline():
    with HttpSink([Answer(delay_seconds=3)]) as sink:
        asked = Slow(provider(sink.url).config)
        prompt = asked.compose(QUESTION)
        started = time.monotonic()
        with pytest.raises(TransientError, match=r"did not answer within 0.9 s$"):
            asked.ask(prompt, Meter(), within_seconds=0.9)

        assert time.monotonic() - started < 1.2
    assert len(sink.requests) == 1


def test_nothing_is_asked_where_setting_up_took_all_of_the_time():
    with HttpSink() as sink:
        asked = Slow(provider(sink.url).config)
        prompt = asked.compose(QUESTION)
        with pytest.raises(TransientError, match=r"was not asked: setting up took too much of 0.35 s$"):
            asked.ask(prompt, Meter(), within_seconds=0.35)

    assert sink.connection_count == 0


def test_deadline_holds_for_question_and_correction_together():
    meter = Meter()

    with HttpSink([VENDOR.answer("{}"), Answer(delay_seconds=6)]) as sink:
        asked = provider(sink.url, timeout_seconds=1.5)
        with pytest.raises(TransientError, match=r"within 1.5 s$"):
            asked.ask(asked.compose(QUESTION), meter)

    assert len(sink.requests) == 2
    assert meter.tokens.total == 165


def test_most_that_it_may_cost_covers_a_correction_of_the_longest_reply():
    longest = "x" * 3 * 100  # by the estimate of 3 bytes in a token
    with HttpSink(default=VENDOR.answer(longest)) as sink:
        asked = provider(sink.url, max_tokens=100)
        prompt = asked.compose(QUESTION)
        with pytest.raises(PermanentError):
            asked.ask(prompt, Meter())

    [_, second] = sink.requests
    assert longest.encode() in second.body
    assert asked.most_tokens(prompt) == 2 * (prompt.estimated_tokens + 100) + 100


def test_vendors_words_are_redacted_and_short():
    words = f"{VENDOR.key} or Bearer abc123def456 at /secret-path/v1?  " + "so it goes " * 60
    with HttpSink([VENDOR.error(400, words)]) as sink, pytest.raises(PermanentError) as refused:
        ask(sink.url, base_url=f"{sink.url}/secret-path/v1")

    said = str(refused.value)
    assert said.startswith("127.0.0.1 answered 400: *** or Bearer *** at ***? so it goes ")
    assert said.endswith("…")
    assert len(said) < 330


def test_vendors_words_hold_nothing_that_nobody_sees_or_that_hides_a_key():
    answer = VENDOR.error(400, "a\x00b\ud800c\x1b[2Jd\u202ee planted-\u200bkey-of-mine")

    assert refusal(answer, api_key="planted-key-of-mine") == "127.0.0.1 answered 400: abcde ***"


@pytest.mark.parametrize(
    ("given", "counted"),
    [(5_000_000_000, None), (10**30, None), (-1, None), (2**31 - 1, 2**31 - 1), (2**31, None)],
    ids=str,
)
def test_count_that_no_column_can_hold_is_none(given, counted):
    meter = Meter()
    with HttpSink([VENDOR.answer(REPLY, prompt_tokens=given, completion_tokens=0)]) as sink:
        asked = provider(sink.url)
        analysis = asked.ask(asked.compose(QUESTION), meter)

    assert (analysis.prompt_tokens, analysis.completion_tokens, analysis.total_tokens) == (counted, None, counted)
    assert meter.tokens == Tokens(counted, None, counted)


def test_models_name_is_one_short_line_that_can_be_seen():
    with HttpSink([VENDOR.answer(REPLY, model="a\x00b\u202e\n c" + "d" * 900)]) as sink:
        asked = provider(sink.url)
        analysis = asked.ask(asked.compose(QUESTION), Meter())

    assert analysis.model_name == "ab c" + "d" * (MAX_MODEL_CHARS - 5) + "…"
    assert AnalysisRun.__table__.c.model_name.type.length == MAX_MODEL_CHARS


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://gw.example/v1?key=planted", "holds a query: a secret there would be shown"),
        ("https://gw.example/v1?", "holds a query: a secret there would be shown"),
        ("https://gw.example/v1#planted", "holds a fragment"),
        ("https://ann:planted@gw.example/v1", "holds a login: use api_key"),
        ("https://planted@gw.example/v1", "holds a login: use api_key"),
    ],
)
def test_base_url_with_a_place_for_secrets_is_refused_by_name(url, said):
    with pytest.raises(PermanentError) as refused:
        provider(url)

    assert str(refused.value) == f"provider 'openai': base_url: {said}"


def test_key_in_a_saved_base_urls_path_is_shown_masked():
    url = f"https://gw.example/{VENDOR_SHAPED_KEY}/v1"
    row = IntelligenceProvider(name="prod", provider="openai", config={"base_url": url})

    assert saved_fields(row)["config"] == {"base_url": "https://gw.example/***/v1"}


def test_gemini_says_nothing_of_a_timeout_that_is_the_clients_default_too():
    vendor = VENDORS["gemini"]

    with warnings.catch_warnings(record=True) as said, HttpSink([vendor.answer(REPLY)]) as sink:
        warnings.simplefilter("always")
        build("gemini", vendor.config(sink.url) | {"timeout_seconds": 5}).analyze(QUESTION)

    assert not [str(warning.message) for warning in said if "timeout" in str(warning.message)]


def test_key_that_begins_the_path_leaves_no_rest_of_it():
    with (
        HttpSink([VENDOR.error(400, "no /planted-gateway-rest here")]) as sink,
        pytest.raises(PermanentError) as no,
    ):
        ask(sink.url, base_url=f"{sink.url}/planted-gateway-rest", api_key="/planted-gateway")

    assert str(no.value) == "127.0.0.1 answered 400: no *** here"


def test_key_is_masked_where_a_vendor_quotes_it_as_part_of_a_url():
    key = "planted+key/of=mine"
    answer = VENDOR.error(400, "see https://gw.example/x?k=planted%2Bkey%2Fof%3Dmine and /planted+key/of=mine/")

    assert refusal(answer, api_key=key) == "127.0.0.1 answered 400: see https://gw.example/x?k=*** and /***/"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (" ", "is empty"),
        ("planted\nkey", "holds characters that no key has"),
        ("plantéd", "holds characters that no key has"),
    ],
    ids=["blank", "two lines", "accent"],
)
def test_key_that_no_header_can_carry_is_refused_by_name(key, said):
    with pytest.raises(PermanentError) as refused:
        provider("http://127.0.0.1:9", api_key=key)

    assert str(refused.value) == f"provider 'openai': api_key: {said}"


def test_proxy_of_the_environment_is_used(monkeypatch):
    with HttpSink([VENDOR.answer(REPLY)]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        ask("http://models.example")

    assert [request.path for request in proxy.requests] == ["http://models.example/v1/chat/completions"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("HTTP_PROXY", "planted://me:planted@proxy.example", "ValueError"),
        ("SSL_CERT_FILE", "/planted/roots.pem", "FileNotFoundError"),
    ],
)
def test_environment_that_does_not_fit_is_permanent_without_its_value(monkeypatch, variable, value, said):
    monkeypatch.setenv(variable, value)

    with pytest.raises(PermanentError) as refused:
        ask("http://models.example")

    assert str(refused.value) == f"provider 'openai' cannot be set up ({said})"


def test_authority_of_ones_own_is_trusted_through_the_environment():
    with HttpSink([VENDOR.answer(REPLY)], is_tls=True) as sink:
        ask(sink.url)

    assert len(sink.requests) == 1


def test_answer_is_asked_for_uncompressed():
    with HttpSink([VENDOR.answer(REPLY)]) as sink:
        ask(sink.url)

    assert sink.requests[0].headers["Accept-Encoding"] == "identity"


def test_ollama_is_asked_without_any_key():
    ollama = VENDORS["ollama"]

    with HttpSink([ollama.answer(REPLY)]) as sink:
        build("ollama", {"base_url": f"{sink.url}/v1"}).analyze(QUESTION)

    assert ollama.given_key(sink.requests[0]) == "none"


def test_claudes_key_goes_into_the_header_of_its_kind():
    claude = VENDORS["claude"]
    with HttpSink(default=claude.answer(REPLY)) as sink:
        for auth in ("x-api-key", "bearer"):
            build("claude", claude.config(sink.url) | {"auth": auth}).analyze(QUESTION)

    given = [(request.headers["X-Api-Key"], request.headers["Authorization"]) for request in sink.requests]
    assert given == [(claude.key, None), (None, f"Bearer {claude.key}")]


def test_nothing_is_traced_or_advertised_although_all_agents_of_the_process_are(monkeypatch):
    built = provider("http://127.0.0.1:9")
    agents = importlib.import_module("pydantic_ai")
    monkeypatch.setattr(agents.Agent, "_instrument_default", True)

    agent = built._agent(built._client(), built.compose(QUESTION))

    assert agent.instrument is False
    assert agents.BANNER_ENABLED is False  # it goes to stderr where that is a terminal


# As in an installation without the extra.
BLOCKED = """
import sys
ABSENT = {"pydantic_ai", "httpx2", "openai", "anthropic", "mistralai"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT or name.startswith("google.genai"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from tasks.analyze.providers import PROVIDERS, build
from tasks.analyze.request import AnalysisRequest
question = AnalysisRequest(incident=None, evidence={"hostname": "web-1"})
for kind in PROVIDERS:
    try:
        print(kind, bool(build(kind, {} if kind == "local" else {"api_key": "k"}).analyze(question).summary))
    except Exception as error:
        print(kind, type(error).__name__, error)
"""


def test_without_the_extra_the_local_rules_answer_and_each_vendor_names_it():
    said = python(BLOCKED).splitlines()

    assert said[0] == "local True"
    assert said[1:] == [
        f"{kind} PermanentError provider {kind!r} needs the extra watchkeeper[ai]" for kind in VENDORS
    ]


# A name server that does not answer, which only its own time-out would end.
HANGING = """
import socket, time
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
from tasks.analyze.providers.ai import _run
import asyncio
async def look_up():
    async with asyncio.timeout(0.1):
        await asyncio.get_running_loop().getaddrinfo("models.example", 80)
try:
    _run(look_up())
except TimeoutError:
    print("given up")
"""


def test_look_up_of_a_name_that_hangs_does_not_hold_the_process():
    assert python(HANGING, timeout_seconds=20) == "given up\n"


def python(program: str, *, timeout_seconds: float = 60) -> str:
    """What a Python program of its own process says."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
