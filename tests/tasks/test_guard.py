"""What the outbound door connects to, with real listeners and a name server that answers as it is told."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from certificates import TlsServer, issue
from sinks import HttpSink

from tasks import http
from tasks.addresses import NEVER, NOT_PUBLIC, Reach
from tasks.errors import PermanentError, TransientError
from tasks.guard import refuse_host
from tasks.http import OutboundRequest, send

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Names:
    """A name server: each look-up of a name takes its next answer, and the last one again and again."""

    def __init__(self) -> None:
        self._answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def answer(self, name: str, *answers: list[str]) -> None:
        self._answers[name] = list(answers)

    def look_up(self, real: Callable[..., list], host: str, port: int, *args, **kwargs) -> list:
        if host not in self._answers:
            return real(host, port, *args, **kwargs)
        self.asked.append(host)
        answers = self._answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for address in addresses for found in real(address, port, *args, **kwargs)]


@pytest.fixture
def names(monkeypatch) -> Names:
    names, real = Names(), socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: names.look_up(real, *args, **kwargs))
    return names


@pytest.fixture(autouse=True)
def without_proxy(monkeypatch) -> Iterator[None]:
    """Connections of other tests and the surroundings' proxies are left out."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    http._client.cache_clear()
    yield
    http._client.cache_clear()


def post(url: str, *, reach: Reach, timeout_seconds: float = 5) -> int:
    return send(OutboundRequest(method="POST", url=url, timeout_seconds=timeout_seconds), reach=reach).status


def test_loopback_is_within_reach_unless_private_addresses_are_blocked(http_sink):
    assert post(http_sink.url, reach=Reach.GUARDED) == 200

    with pytest.raises(PermanentError, match=f"^127.0.0.1 leads to {NOT_PUBLIC}$"):
        post(http_sink.url, reach=Reach.PUBLIC)

    assert http_sink.connection_count == 1


# Each of them reaches what listens on loopback, as the first assertion shows.
@pytest.mark.parametrize("host", ["0.0.0.0", "0", "0x0", "0.0", "[::ffff:0.0.0.0]"])
def test_the_unspecified_address_is_refused_however_it_is_spelled(http_sink, host):
    url = f"http://{host}:{http_sink.port}/"
    assert post(url, reach=Reach.ANYWHERE) == 200

    with pytest.raises(PermanentError, match=f"leads to {NEVER}$"):
        post(url, reach=Reach.GUARDED)

    assert http_sink.connection_count == 1


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "[::ffff:a9fe:a9fe]"]
)
def test_the_metadata_address_is_refused_however_it_is_spelled(host):
    with pytest.raises(PermanentError, match=f"leads to {NEVER}$"):
        post(f"http://{host}/latest", reach=Reach.GUARDED)


def test_a_name_that_leads_out_of_reach_is_refused_and_nothing_is_connected_to(http_sink, names):
    names.answer("hooks.example", ["0.0.0.0"])

    with pytest.raises(PermanentError, match=f"^hooks.example leads to {NEVER}$"):
        post(f"http://hooks.example:{http_sink.port}/", reach=Reach.GUARDED)

    assert http_sink.connection_count == 0


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to(http_sink, names):
    names.answer("rebinding.example", ["127.0.0.1"], ["127.0.0.2"])

    with socket.create_server(("127.0.0.2", http_sink.port)) as other:
        status = post(f"http://rebinding.example:{http_sink.port}/", reach=Reach.GUARDED)

        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert (status, http_sink.connection_count, names.asked) == (200, 1, ["rebinding.example"])
    assert http_sink.requests[0].headers["Host"] == f"rebinding.example:{http_sink.port}"


def test_a_name_refused_once_is_not_asked_for_a_better_answer(http_sink, names):
    names.answer("rebinding.example", ["169.254.169.254"], ["127.0.0.1"])

    with pytest.raises(PermanentError):
        post(f"http://rebinding.example:{http_sink.port}/", reach=Reach.GUARDED)

    assert (http_sink.connection_count, names.asked) == (0, ["rebinding.example"])


def test_of_several_addresses_those_out_of_reach_are_passed_over(names, monkeypatch):
    names.answer("hooks.example", ["0.0.0.0", "127.0.0.2"])
    monkeypatch.setattr("sinks.LOOPBACK", "127.0.0.2")

    with HttpSink() as sink, socket.create_server(("127.0.0.1", sink.port)) as behind_unspecified:
        status = post(f"http://hooks.example:{sink.port}/", reach=Reach.GUARDED)

        behind_unspecified.setblocking(False)
        with pytest.raises(BlockingIOError):
            behind_unspecified.accept()
    assert (status, sink.connection_count) == (200, 1)


@pytest.mark.parametrize("addresses", [["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"]], ids="-".join)
def test_of_several_addresses_the_one_that_answers_is_used(http_sink, names, addresses):
    names.answer("hooks.example", addresses)

    assert post(f"http://hooks.example:{http_sink.port}/", reach=Reach.GUARDED) == 200


def test_a_guarded_request_does_not_take_a_connection_that_nobody_checked(http_sink, names):
    names.answer("hooks.example", ["0.0.0.0"])
    url = f"http://hooks.example:{http_sink.port}/"
    assert [post(url, reach=Reach.ANYWHERE) for _ in range(2)] == [200, 200]

    for reach in (Reach.GUARDED, Reach.PUBLIC):
        with pytest.raises(PermanentError):
            post(url, reach=reach)

    assert (http_sink.connection_count, len(http_sink.requests)) == (1, 2)


def test_a_connection_made_when_private_addresses_were_allowed_is_not_taken_after(http_sink):
    post(http_sink.url, reach=Reach.GUARDED)

    with pytest.raises(PermanentError):
        post(http_sink.url, reach=Reach.PUBLIC)

    assert len(http_sink.requests) == 1


def test_tls_goes_on_by_the_name_and_not_by_the_address(names, tmp_path, monkeypatch):
    names.answer("hooks.example", ["127.0.0.1"])
    issued, asked_for = issue(days_left=5, names=("hooks.example",)), []
    (tmp_path / "trusted.pem").write_bytes(issued.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))

    def arrange(context):
        context.sni_callback = lambda _socket, name, _context: asked_for.append(name)

    with TlsServer(issued, folder=tmp_path, arrange=arrange) as server, pytest.raises(TransientError):
        # It shakes hands and hangs up. By the address, the certificate would be refused for good.
        post(f"https://hooks.example:{server.port}/", reach=Reach.GUARDED)

    assert asked_for == ["hooks.example"]


def test_a_look_up_that_hangs_ends_at_the_deadline(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20))

    try:
        with pytest.raises(TransientError, match=r"^hooks.example did not answer within 0.1 s$"):
            post("http://hooks.example/", reach=Reach.GUARDED, timeout_seconds=0.1)
    finally:
        over.set()


def test_a_name_that_is_not_found_is_transient(names):
    names.answer("hooks.example", [])

    with pytest.raises(TransientError, match=r"^hooks.example: Name or service not known$"):
        post("http://hooks.example/", reach=Reach.GUARDED)


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "169.254.169.254.",
        "metadata.google.internal",
        "hooks.example",
        "mixed.example",
    ],
)
def test_a_proxy_is_not_asked_for_what_is_out_of_reach(http_sink, names, monkeypatch, host):
    names.answer("hooks.example", ["169.254.169.254"])
    names.answer("mixed.example", ["8.8.8.8", "169.254.169.254"])
    names.answer("metadata.google.internal", [])
    monkeypatch.setenv("http_proxy", http_sink.url)

    with pytest.raises(PermanentError, match=f"leads to {NEVER}$"):
        post(f"http://{host}/", reach=Reach.GUARDED)

    assert http_sink.connection_count == 0


def test_a_proxy_at_a_private_address_is_asked_for_what_it_alone_can_find(http_sink, names, monkeypatch):
    names.answer("hooks.example", [])
    monkeypatch.setenv("http_proxy", http_sink.url)

    status = post("http://hooks.example/a", reach=Reach.PUBLIC)

    assert status == 200
    assert http_sink.requests[0].path == "http://hooks.example/a"


def test_a_tunnel_is_not_asked_for_either(monkeypatch):
    with HttpSink() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)

        with pytest.raises(PermanentError):
            post("https://169.254.169.254/", reach=Reach.GUARDED)

        assert proxy.connection_count == 0


def test_what_connects_by_itself_can_ask_before(names):
    names.answer("hooks.example", ["169.254.169.254"])

    with pytest.raises(PermanentError, match=f"^hooks.example leads to {NEVER}$"):
        refuse_host("hooks.example", Reach.GUARDED)
    refuse_host("hooks.example", Reach.ANYWHERE)
    refuse_host("127.0.0.1", Reach.GUARDED)
