"""Many clients, some of which leave at random: nobody gets a wrong answer, and nothing is left of those who left."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_model import loaded
from live import eventually, live

from groundup.serve.app import create_app
from groundup.serve.choices import Engines

CHAT = "/v1/chat/completions"
LEAVE = 0.3  # of the requests are left before their end


def requests() -> list[dict[str, Any]]:
    """Different prompts, lengths and ways to sample; some share their beginning."""
    draw, made = random.Random(0), []
    for number in range(24):
        words = [draw.choice(["os", "path", "join", "a list", "über", "🌱", "?"]) for _ in range(draw.randint(1, 6))]
        earlier = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "The one."}] * (number % 3)
        asked = {
            "messages": [*earlier, {"role": "user", "content": " ".join(words)}],
            "max_tokens": draw.randint(1, 24),
        }
        if number % 2:
            asked |= {"temperature": 1.0, "seed": number, "top_p": 0.9, "presence_penalty": 0.5}
        if number % 5 == 4:
            asked |= {"n": 2}
        made.append(asked)
    return made


@dataclass
class Crowd:
    """Clients of one server, and what they saw."""

    address: str
    expected: list[list[str]]
    until: float
    at_least: int
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def client(self, seed: int) -> None:
        draw = random.Random(seed)
        async with httpx.AsyncClient(base_url=self.address, timeout=60) as http:
            for asked in count():
                if asked >= self.at_least and time.monotonic() > self.until:
                    return
                number = draw.randrange(len(self.expected))
                body = requests()[number] | {"stream": draw.random() < 0.6}
                leave_after = draw.randrange(6) if draw.random() < LEAVE else None
                try:
                    await self.ask(http, number, body, leave_after)
                except httpx.HTTPError as error:
                    self.wrong.append(f"{type(error).__name__}: {error}")

    async def ask(self, http: httpx.AsyncClient, number: int, body: dict[str, Any], leave_after: int | None) -> None:
        if leave_after is not None and not body["stream"]:
            try:
                await asyncio.wait_for(http.post(CHAT, json=body), 0.002 * leave_after)
            except TimeoutError:
                self.seen["left"] += 1
            else:
                self.seen["too quick to leave"] += 1
            return
        if not body["stream"]:
            reply = await http.post(CHAT, json=body)
            self.seen[f"status {reply.status_code}"] += 1
            found = [one["message"]["content"] for one in reply.json().get("choices", [])]
        else:
            found, chunks = [""] * body.get("n", 1), 0
            async with http.stream("POST", CHAT, json=body) as reply:
                self.seen[f"status {reply.status_code}"] += 1
                async for line in reply.aiter_lines():
                    if chunks == leave_after:
                        self.seen["left"] += 1
                        return
                    if line.startswith("data: {"):
                        (choice,) = json.loads(line[6:])["choices"]
                        found[choice["index"]] += choice["delta"].get("content", "")
                        chunks += 1
        self.seen["compared"] += 1
        if found != self.expected[number]:
            self.wrong.append(f"request {number}: {found} instead of {self.expected[number]}")


def gauges(address: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in httpx.get(f"{address}/metrics").text.splitlines() if line[0] != "#"]
    return {name.removeprefix("groundup_"): float(value) for name, value in lines}


def resident() -> float:
    """MiB of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def run(clients: int, seconds: float, at_least: int) -> Counter[str]:
    """What the clients saw; fails where an answer is wrong or something is left over.

    Args:
        seconds: for so long each client asks, and `at_least` so many times.
    """
    model, engines = loaded(context=192), Engines(8)
    application = create_app({"tiny": lambda: model}, key=None, backend=engines, slots=8, queue=2 * clients)
    with live(application) as address:
        with httpx.Client(base_url=address, timeout=60) as http:
            replies = [http.post(CHAT, json=body).json()["choices"] for body in requests()]
        expected = [[choice["message"]["content"] for choice in choices] for choices in replies]
        assert len({str(one) for one in expected}) > 20
        crowd = Crowd(address, expected, time.monotonic() + seconds, at_least)

        async def everyone() -> None:
            await asyncio.gather(*(crowd.client(seed) for seed in range(clients)))

        threads, memory = threading.active_count(), resident()
        asyncio.run(everyone())
        eventually(lambda: gauges(address)["requests_running"] == gauges(address)["requests_waiting"] == 0)
        (engine,) = engines._engines.values()
        assert not engine.busy and crowd.wrong == [], crowd.wrong[:3]
        counted = gauges(address)
        assert counted["clients_left_total"] <= crowd.seen["left"]  # one may leave when its answer is complete
        assert threading.active_count() <= threads + 2 and resident() - memory < 60
        assert crowd.seen["status 200"] == sum(crowd.seen[name] for name in crowd.seen if name.startswith("status"))
        with httpx.Client(base_url=address, timeout=60) as http:  # and it answers as before
            last = http.post(CHAT, json=requests()[3]).json()["choices"]
        assert [choice["message"]["content"] for choice in last] == expected[3]
    return crowd.seen


def test_some_leave_and_the_others_are_answered() -> None:
    seen = run(clients=8, seconds=0, at_least=4)
    assert seen["compared"] > 10 and seen["left"] > 2, seen


@pytest.mark.slow
def test_32_clients_for_two_minutes() -> None:
    seen = run(clients=32, seconds=120, at_least=10)
    assert seen["compared"] > 500 and seen["left"] > 100, seen
