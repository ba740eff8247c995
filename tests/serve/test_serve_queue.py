"""One answer at a time, a bounded line before it, and a slot that is free as soon as its client is gone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fake_model import PIECES, FakeModel
from live import eventually, live

from groundup.serve import create_app

ASKED = {"messages": [{"role": "user", "content": "What does os.path.join do?"}]}


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
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("groundup_"): float(value) for name, value in lines}


def test_line_is_bounded_and_served_in_order(model):
    with live(create_app(model, key=None, queue=2)) as address, ThreadPoolExecutor() as clients:
        answers = []
        for place in range(3):  # one is being answered, two wait
            answers.append(clients.submit(ask, address, seed=place))
            eventually(lambda place=place: gauges(address)["requests_waiting"] == place)
            model.began.wait(5)
        refused = ask(address)
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert len(model.calls) == 1  # those who wait have not begun
        model.gate.release(len(PIECES) * 3)
        assert [answer.result().status_code for answer in answers] == [200] * 3
        assert [call["seed"] for call in model.calls] == [0, 1, 2]
        assert ask_again(model, address) == 200


def test_no_line_at_all(model):
    with live(create_app(model, key=None, queue=0)) as address, ThreadPoolExecutor() as clients:
        first = clients.submit(ask, address)
        model.began.wait(5)
        assert ask(address).status_code == 429
        model.gate.release(len(PIECES))
        assert first.result().status_code == 200


def test_client_that_leaves_a_stream_frees_its_slot(model):
    with live(create_app(model, key=None, queue=0)) as address:
        model.gate.release()
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=ASKED | {"stream": True}) as response:
            received = response.iter_raw()  # held: httpx closes the connection when it is collected
            assert next(received).startswith(b"data: ")
            assert not model.stopped.wait(0.1)
        assert model.stopped.wait(5)
        eventually(lambda: gauges(address)["requests_running"] == 0)
        assert gauges(address)["clients_left_total"] == 1
        assert ask_again(model, address) == 200


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_before_any_text_frees_its_slot(model, stream):
    with live(create_app(model, key=None, queue=0)) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/chat/completions", json=ASKED | {"stream": stream}, timeout=0.2)
        assert model.stopped.wait(5)
        eventually(lambda: gauges(address)["requests_running"] == 0)
        assert ask_again(model, address) == 200


def test_client_that_leaves_the_line_is_never_generated_for(model):
    with live(create_app(model, key=None, queue=1)) as address, ThreadPoolExecutor() as clients:
        first = clients.submit(ask, address, seed=1)
        model.began.wait(5)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/chat/completions", json=ASKED | {"seed": 2}, timeout=0.2)
        eventually(lambda: gauges(address)["requests_waiting"] == 0)  # its place is free while the first still runs
        third = clients.submit(ask, address, seed=3)
        model.gate.release(len(PIECES) * 2)
        assert first.result().status_code == third.result().status_code == 200
        assert [call["seed"] for call in model.calls] == [1, 3]


def test_stopping_the_server_stops_the_answer(model):
    with ThreadPoolExecutor() as clients:
        with live(create_app(model, key=None, queue=1)) as address:
            clients.submit(ask, address)
            model.began.wait(5)
        assert model.stopped.is_set()
