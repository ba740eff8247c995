"""Slots, a bounded line before them, and a slot that is free as soon as its client is gone."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fake_model import PIECES, FakeModel
from live import eventually, live

from groundup.serve.app import create_app
from groundup.serve.connection import PatientConnection

ASKED = {"messages": [{"role": "user", "content": "What does os.path.join do?"}]}


def app(model, **options):
    return create_app(model.offered(), key=None, backend=model, **{"slots": 1, **options})


@pytest.fixture
def model():
    return FakeModel(gate=threading.Semaphore(0))  # no piece comes before the test opens the gate


def ask(address, **more):
    return httpx.post(f"{address}/v1/chat/completions", json=ASKED | more, timeout=10)


def ask_again(model, address):
    model.gate.release(len(PIECES))
    return ask(address).status_code


def gauges(address):
    text = httpx.get(f"{address}/metrics").text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("groundup_"): float(value) for name, value in lines}


def test_line_is_bounded_and_served_in_order(model):
    with live(app(model, queue=2)) as address, ThreadPoolExecutor() as clients:
        answers = []
        for index in range(3):  # one is being answered, two wait
            answers.append(clients.submit(ask, address, seed=index))
            eventually(lambda index=index: gauges(address)["requests_waiting"] == index)
            model.began.wait(5)
        refused = ask(address)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert gauges(address)["requests_running"] == 1
        model.gate.release(len(PIECES) * 3)
        assert [answer.result().status_code for answer in answers] == [200] * 3
        assert [job.sampling.seed for job in model.jobs] == [0, 1, 2]
        assert ask_again(model, address) == 200


def test_no_line_at_all(model):
    with live(app(model, queue=0)) as address, ThreadPoolExecutor() as clients:
        first = clients.submit(ask, address)
        model.began.wait(5)
        assert ask(address).status_code == 429
        model.gate.release(len(PIECES))
        assert first.result().status_code == 200


def test_client_that_leaves_a_stream_frees_its_slot(model):
    with live(app(model, queue=0)) as address:
        model.gate.release()
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=ASKED | {"stream": True}) as response:
            received = response.iter_raw()  # held: httpx closes the connection when it is collected
            assert next(received).startswith(b"data: ")
        eventually(lambda: gauges(address)["requests_running"] == 0)
        assert gauges(address)["clients_left_total"] == 1
        assert ask_again(model, address) == 200


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_before_any_text_frees_its_slot(model, stream):
    with live(app(model, queue=0)) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/chat/completions", json=ASKED | {"stream": stream}, timeout=0.2)
        eventually(lambda: gauges(address)["requests_running"] == 0)
        assert ask_again(model, address) == 200


def test_client_that_leaves_the_line_is_never_generated_for(model):
    with live(app(model, queue=1)) as address, ThreadPoolExecutor() as clients:
        first = clients.submit(ask, address, seed=1)
        model.began.wait(5)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/chat/completions", json=ASKED | {"seed": 2}, timeout=0.2)
        eventually(lambda: gauges(address)["requests_waiting"] == 0)  # its turn is free while the first still runs
        third = clients.submit(ask, address, seed=3)
        model.gate.release(len(PIECES) * 2)
        assert first.result().status_code == third.result().status_code == 200
        assert gauges(address)["answers_total"] == 2  # the second was never generated


def test_several_are_answered_at_once():
    """With two slots the second answer ends although the first has not."""
    model = FakeModel(gate=threading.Semaphore(0))
    with live(app(model, slots=2)) as address, ThreadPoolExecutor() as clients:
        answers = [clients.submit(ask, address, seed=index) for index in range(2)]
        eventually(lambda: gauges(address)["requests_running"] == 2)
        model.gate.release(len(PIECES) * 2)
        assert [answer.result().status_code for answer in answers] == [200] * 2


def test_an_answer_that_takes_too_long_is_ended(model):
    model.gate.release()  # one piece, and then no more
    with live(app(model, answer_seconds=0.2)) as address:
        answer = ask(address).json()["choices"][0]
        assert (answer["message"]["content"], answer["finish_reason"]) == (PIECES[0], "length")


def test_stopping_the_server_ends_the_answer(model):
    with ThreadPoolExecutor() as clients:
        with live(app(model, queue=1)) as address:
            asked = clients.submit(ask, address)
            model.began.wait(5)
        assert asked.exception() is not None or asked.result().status_code >= 500  # and the block has been left


def test_connections_that_send_nothing_are_closed(monkeypatch):
    """Neither one that never speaks, nor one that sends its headers a byte at a time, holds its connection."""
    monkeypatch.setattr(PatientConnection, "seconds", 0.3)
    with live(app(FakeModel()), http=PatientConnection) as address:
        port = int(address.rsplit(":", 1)[1])
        with (
            socket.create_connection(("127.0.0.1", port)) as silent,
            socket.create_connection(("127.0.0.1", port)) as slow,
        ):
            for byte in b"GET /he":
                slow.sendall(bytes([byte]))
                time.sleep(0.01)
            silent.settimeout(5)
            slow.settimeout(5)
            assert silent.recv(1) == b"" and slow.recv(1) == b""
        with httpx.Client() as client:  # one that idles for less is kept
            assert client.get(f"{address}/health").status_code == 200
            assert client.get(f"{address}/health").status_code == 200


def test_a_body_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr("groundup.serve.access.BODY_SECONDS", 0.2)
    with live(app(FakeModel())) as address:
        port = int(address.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as stalled:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            stalled.sendall(f"{head}Content-Length: 50\r\n\r\n{{".encode())
            stalled.settimeout(5)
            assert stalled.recv(100).startswith(b"HTTP/1.1 408")
