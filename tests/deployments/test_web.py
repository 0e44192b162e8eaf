"""The receiver's process as it runs behind a socket: whom it lets in, and how much it reads."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from databases import fresh_sqlite
from stack import free_port, wait_until

from storage.database import Database
from tasks.definition.library import save_presets

LIMIT = 100_000
MEGABYTE = 1024 * 1024
CHUNK = b"100000\r\n" + b" " * MEGABYTE + b"\r\n"


class Receiver:
    """A running `deployments.web`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.port = port

    def post(self, body: bytes, **headers: str) -> int:
        with httpx.Client(trust_env=False, timeout=30) as client:
            return client.post(
                f"{self.url}/alerts/webhook/generic/", content=body, headers=named(headers)
            ).status_code

    def send(self, head: str, body: bytes = b"") -> bytes:
        """The answer to a hand-made request."""
        with self.connect() as client:
            client.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
            answer = client.recv(65536)
            while not is_whole(answer) and (more := client.recv(65536)):
                answer += more
            return answer

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    @property
    def memory_bytes(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss


@contextmanager
def running(database_url: str, log_path: Path, **env: str) -> Iterator[Receiver]:
    port = free_port()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.web"], env=environment(database_url, port, **env), stderr=log
        )
    receiver = Receiver(process, port)
    try:
        wait_until(lambda: is_up(receiver) or process.poll() is not None, 30, what="the receiver")
        yield receiver
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def environment(database_url: str, port: int, **env: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WATCHKEEPER_", "PREFECT_"))}
    own = {"WATCHKEEPER_DATABASE_URL": database_url, "WATCHKEEPER_PORT": str(port)}
    return kept | own | {"WATCHKEEPER_MAX_BODY_BYTES": str(LIMIT)} | env


def is_up(receiver: Receiver) -> bool:
    try:
        return httpx.get(f"{receiver.url}/alerts/webhook/", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: ([0-9]+)", head)
    return length is not None and len(body) >= int(length[1])


def named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def body_of(size: int) -> bytes:
    return b'{"name": "' + b"x" * (size - 12) + b'"}'


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with fresh_sqlite(tmp_path_factory.mktemp("web")) as url:
        database = Database(url)
        with database.write() as session:
            save_presets(session)
        database.dispose()
        yield url


@pytest.fixture(scope="module")
def log_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web-log") / "web.log"


@pytest.fixture(scope="module")
def receiver(database_url: str, log_path: Path) -> Iterator[Receiver]:
    """Without any secret."""
    with running(database_url, log_path) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def guarded(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """With a token for all sources."""
    log_path = tmp_path_factory.mktemp("guarded") / "web.log"
    with running(database_url, log_path, WATCHKEEPER_WEBHOOK_TOKEN="s3cret") as receiver:
        yield receiver


def test_start_without_a_secret_is_said_in_the_log(receiver: Receiver, log_path: Path) -> None:
    assert receiver.process.poll() is None
    assert "only this machine may post" in log_path.read_text()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 202),
        ({"X_Forwarded_For": "127.0.0.1"}, 401),
        ({"Forwarded": "for=127.0.0.1"}, 401),
        ({"X_Forwarded_Host": "localhost"}, 401),
        ({"X_Real_IP": "127.0.0.1"}, 401),
        ({"Origin": "https://news.example"}, 401),
        ({"Host": "rebound.example"}, 401),
    ],
)
def test_what_came_by_way_of_another_is_not_local(
    receiver: Receiver, headers: dict[str, str], status: int
) -> None:
    assert receiver.post(b'{"name": "x"}', **headers) == status


def test_old_client_that_names_no_host_is_local(receiver: Receiver) -> None:
    answer = receiver.send("POST /alerts/webhook/generic/ HTTP/1.0\nContent-Length: 13", b'{"name": "x"}')

    assert b" 202 " in answer.splitlines()[0]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("Authorization: Bearer s3cret", 202),
        ("Authorization: Bearer s3cret\nAuthorization: Bearer s3cret", 401),
        ("Authorization: Bearer \xff\xfe", 401),
        ("X-Webhook-Token: s3cret\nX-Webhook-Token: ", 401),
        ("X_Webhook_Token: s3cret", 401),
        ("X-Webhook-Token:", 401),
        ("Host: a\nHost: b\nX-Webhook-Token: s3cret", 202),
    ],
)
def test_headers_as_they_come_over_the_wire(guarded: Receiver, head: str, status: int) -> None:
    request = f"POST /alerts/webhook/generic/ HTTP/1.1\nConnection: close\n{head}\nContent-Length: 13"

    answer = guarded.send(request, b'{"name": "x"}')

    assert answer.splitlines()[0].split()[1] == str(status).encode()


def test_body_of_just_the_limit_is_taken_and_one_byte_more_is_not(receiver: Receiver) -> None:
    assert receiver.post(body_of(LIMIT)) == 202
    assert receiver.post(body_of(LIMIT + 1)) == 413


def test_body_over_the_limit_is_told_in_the_log(database_url: str, tmp_path: Path) -> None:
    log_path = tmp_path / "receiver.log"

    with running(database_url, log_path) as receiver:
        answers = {receiver.post(body_of(2 * LIMIT)) for _ in range(3)}

    assert answers == {413}
    [line] = [line for line in log_path.read_text().splitlines() if "webhook refused" in line]
    assert f"status=413 source=generic reason=the body is larger than {LIMIT} bytes" in line


def test_length_over_the_limit_is_refused_before_any_of_the_body_came(receiver: Receiver) -> None:
    began = time.monotonic()

    answer = receiver.send(f"POST /alerts/webhook/generic/ HTTP/1.1\nHost: localhost\nContent-Length: {LIMIT + 1}")

    assert answer.splitlines()[0].split()[1] == b"413"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == f"the body is larger than {LIMIT} bytes"
    assert time.monotonic() - began < 2


def test_length_over_the_limit_is_refused_though_the_client_asks_whether_to_go_on(receiver: Receiver) -> None:
    request = (
        "POST /alerts/webhook/generic/ HTTP/1.1\nHost: localhost\nExpect: 100-continue\nContent-Length: 9999999999"
    )

    sent_bytes, answer = send_until_answered(receiver, request, b" " * MEGABYTE)

    assert b" 413 " in answer
    assert sent_bytes <= 16 * MEGABYTE


def test_body_without_a_length_is_cut_off_at_the_limit(receiver: Receiver) -> None:
    request = "POST /alerts/webhook/generic/ HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked"
    before_bytes = receiver.memory_bytes
    began = time.monotonic()

    sent_bytes, answer = send_until_answered(receiver, request, CHUNK)

    assert b" 413 " in answer
    assert sent_bytes <= 16 * MEGABYTE
    assert receiver.memory_bytes - before_bytes < 8 * MEGABYTE
    assert time.monotonic() - began < 5
    assert receiver.post(b'{"name": "after"}') == 202


def test_many_endless_bodies_at_once_leave_the_memory_as_it_is(receiver: Receiver) -> None:
    request = "POST /alerts/webhook/generic/ HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked"
    before_bytes = receiver.memory_bytes

    answers = [send_until_answered(receiver, request, CHUNK)[1] for _ in range(30)]

    assert all(b" 413 " in answer for answer in answers)
    assert receiver.memory_bytes - before_bytes < 16 * MEGABYTE


def send_until_answered(receiver: Receiver, head: str, piece: bytes) -> tuple[int, bytes]:
    """Send without end, as far as the other side takes it. Returns how much that was, and the answer."""
    with receiver.connect() as client:
        client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        client.setblocking(False)
        sent_bytes, answer = 0, b""
        while b" 413 " not in answer and sent_bytes < 100 * MEGABYTE:
            readable, writable, _ = select.select([client], [client], [], 20)
            if readable:
                answer += client.recv(65536)
            elif writable:
                with suppress(ConnectionError):  # it has closed; the answer may still be read
                    sent_bytes += client.send(piece[sent_bytes % len(piece) :])
    return sent_bytes, answer


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "monitor.example.org"])
def test_public_address_without_a_secret_is_not_bound(database_url: str, host: str) -> None:
    ended = start_in_vain(database_url, WATCHKEEPER_HOST=host)

    assert ended.returncode == 1
    assert "WATCHKEEPER_WEBHOOK_TOKEN" in ended.stderr
    assert "WATCHKEEPER_WEBHOOK_AUTH" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_unusable_credentials_end_the_start_in_one_line(database_url: str) -> None:
    ended = start_in_vain(database_url, WATCHKEEPER_WEBHOOK_AUTH='{"generic": {"token": "hunter2"}}')

    assert ended.returncode == 1
    assert "generic.token" in ended.stderr
    assert "hunter2" not in ended.stderr
    assert "Traceback" not in ended.stderr


def start_in_vain(database_url: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deployments.web"],
        env=environment(database_url, free_port(), **env),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
