"""The receiver under slow clients, a database that hangs or dies, bodies without end, and kill -9."""

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select
from stack import LiveStack, live_stack, wait_until

from storage.tables import Delivery

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SLOW_CLIENTS = 200
POSTERS = 8
HEADERS = b"POST /alerts/webhook/generic/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """The receiver and its database, nothing else."""
    with live_stack("--no-server", "--no-worker", WATCHKEEPER_PIPELINE="direct") as stack:
        stack.post(alert("first"))  # it has looked up the names of the pipelines
        yield stack


def test_half_open_clients_do_not_slow_down_a_good_request(stack: LiveStack) -> None:
    with ExitStack() as held:
        clients = [held.enter_context(connect(stack)) for _ in range(SLOW_CLIENTS)]
        stop = threading.Event()
        dripper = threading.Thread(target=drip, args=(clients, stop), daemon=True)
        dripper.start()
        time.sleep(1)

        durations = [posted_within(stack, f"beside-the-slow-{number}") for number in range(20)]
        stop.set()
        dripper.join()

    print(
        f"beside {SLOW_CLIENTS} slow clients: median {sorted(durations)[10]:.3f} s, worst {max(durations):.3f} s"
    )
    assert max(durations) < 1


def test_a_body_over_the_limit_is_refused_before_it_is_read(stack: LiveStack) -> None:
    with connect(stack) as client:
        client.sendall(HEADERS + b'Content-Length: 1000000000\r\n\r\n{"name": "')
        status, headers, body = read_answer(client)

    assert status == 413
    assert headers["content-type"] == "application/json"
    assert "error" in json.loads(body)


def test_a_body_without_a_length_is_refused_once_it_is_over_the_limit(stack: LiveStack) -> None:
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    with connect(stack) as client:
        client.sendall(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(6):
            client.sendall(chunk)
        status, _, body = read_answer(client)

    assert status == 413
    assert "error" in json.loads(body)


def test_a_database_that_hangs_gives_503_in_time_for_one_and_for_forty(stack: LiveStack) -> None:
    receiver = psutil.Process(stack.pid("receiver"))
    with frozen_database(stack):
        together = post_at_once(stack, 40)
        [alone] = post_at_once(stack, 1)
        descriptors = receiver.num_fds()
        post_at_once(stack, 40)
        descriptors_later = receiver.num_fds()

    recovered = time.monotonic()
    wait_until(lambda: try_to_post(stack, "after-the-hang") == 202, 20, what="a 202")

    print(
        f"hung: 503 after {alone[1]:.2f} s, of forty the last after {max(d for _, d, _ in together):.2f} s; "
        f"202 again after {time.monotonic() - recovered:.1f} s; descriptors {descriptors}, {descriptors_later}"
    )
    assert Counter(status for status, _, _ in [alone, *together]) == {503: 41}
    assert all(retry_after for _, _, retry_after in [alone, *together])
    assert max(duration for _, duration, _ in [alone, *together]) < 4
    assert descriptors_later <= descriptors + 5
    assert descriptors_later < 150


def test_a_webhook_is_answered_in_time_while_readers_wait_for_a_database_that_hangs(stack: LiveStack) -> None:
    with frozen_database(stack), ThreadPoolExecutor(40) as pool:
        readers = [pool.submit(read_status, stack) for _ in range(40)]
        time.sleep(0.5)
        [(status, duration, _)] = post_at_once(stack, 1)
        answers = [reader.result() for reader in readers]

    print(f"beside 40 readers: {status} after {duration:.2f} s; readers were answered {Counter(answers)}")
    assert (status, duration < 4) == (503, True)
    assert answers.count(503) >= 30  # the few that have begun to read wait for their answer


def test_a_database_that_dies_loses_nothing_that_was_accepted(stack: LiveStack) -> None:
    accepted: list[str] = []
    answers: list[tuple[int, str | None]] = []
    stack.kill("postgresql")
    killed = time.monotonic()
    while time.monotonic() - killed < 5:
        response = stack.web.post("/alerts/webhook/generic/", json=alert(f"killed-{len(answers)}"))
        answers.append((response.status_code, response.headers.get("Retry-After")))
        if response.status_code == 202:
            accepted.append(response.json()["delivery_id"])

    print(f"after the kill of the database: {Counter(status for status, _ in answers)}")
    assert {status for status, _ in answers} <= {202, 503}
    assert all(retry_after for status, retry_after in answers if status == 503)
    assert answers[-1][0] == 202
    assert stored(stack, accepted) == set(accepted)


def test_a_receiver_killed_under_load_has_kept_what_it_accepted(stack: LiveStack) -> None:
    accepted: list[str] = []
    stop = threading.Event()
    posters = [threading.Thread(target=post_until, args=(stack, accepted, stop, at)) for at in range(POSTERS)]
    for poster in posters:
        poster.start()

    for pause in (0.7, 3.1, 2.3):
        time.sleep(pause)
        stack.kill("receiver")
    wait_until(lambda: try_to_post(stack, "after-the-kills") == 202, 60, what="the receiver")
    time.sleep(1)
    stop.set()
    for poster in posters:
        poster.join()

    print(f"{len(accepted)} accepted by {POSTERS} posters over 3 kills")
    assert len(accepted) > 100
    assert stored(stack, accepted) == set(accepted)


def alert(name: str) -> dict[str, Any]:
    return {"name": name, "severity": "critical", "fingerprint": name}


def connect(stack: LiveStack) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stack.port), timeout=10)


def drip(clients: list[socket.socket], stop: threading.Event) -> None:
    """A third sends nothing, a third its headers byte by byte, a third the beginning of a body."""
    for client in clients[2::3]:
        client.sendall(HEADERS + b'Content-Length: 1000\r\n\r\n{"name"')
    for at in range(len(HEADERS)):
        for client in clients[1::3]:
            client.sendall(HEADERS[at : at + 1])
        if stop.wait(0.05):
            return


def posted_within(stack: LiveStack, name: str) -> float:
    started = time.monotonic()
    with httpx.Client(trust_env=False) as client:
        response = client.post(f"http://127.0.0.1:{stack.port}/alerts/webhook/generic/", json=alert(name))
    assert response.status_code == 202
    return time.monotonic() - started


def read_answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer that ends with the connection."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
        head, found, body = received.partition(b"\r\n\r\n")
        if found and b'"error"' in body and body.endswith(b"\n"):
            break
    head, _, body = received.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status_line.split()[1]), headers, body


@contextmanager
def frozen_database(stack: LiveStack) -> Iterator[None]:
    """Every process of the embedded server stopped, as when its disk hangs."""
    server = psutil.Process(stack.pid("postgresql"))
    pids = [server.pid, *(child.pid for child in server.children(recursive=True))]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def post_at_once(stack: LiveStack, count: int) -> list[tuple[int, float, str | None]]:
    """Status, duration and Retry-After of so many requests at one time."""
    barrier = threading.Barrier(count)

    def post(number: int) -> tuple[int, float, str | None]:
        with httpx.Client(trust_env=False, timeout=30) as client:
            barrier.wait()
            started = time.monotonic()
            url = f"http://127.0.0.1:{stack.port}/alerts/webhook/generic/"
            response = client.post(url, json=alert(f"at-once-{number}"))
            return response.status_code, time.monotonic() - started, response.headers.get("Retry-After")

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(post, range(count)))


def read_status(stack: LiveStack) -> int:
    with httpx.Client(trust_env=False, timeout=8) as client:
        try:
            return client.get(f"http://127.0.0.1:{stack.port}/orchestration/pipelines/").status_code
        except httpx.TimeoutException:
            return 0


def try_to_post(stack: LiveStack, name: str) -> int:
    try:
        return stack.web.post("/alerts/webhook/generic/", json=alert(name)).status_code
    except httpx.TransportError:
        return 0


def post_until(stack: LiveStack, accepted: list[str], stop: threading.Event, at: int) -> None:
    with httpx.Client(trust_env=False, timeout=10, base_url=f"http://127.0.0.1:{stack.port}") as client:
        for number in range(100_000):
            if stop.is_set():
                return
            try:
                response = client.post("/alerts/webhook/generic/", json=alert(f"load-{at}-{number}"))
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if response.status_code == 202:
                accepted.append(response.json()["delivery_id"])


def stored(stack: LiveStack, delivery_ids: list[str]) -> set[str]:
    """Those of the deliveries that are in the table."""
    with stack.database.read() as session:
        return set(session.scalars(select(Delivery.delivery_id))) & set(delivery_ids)
