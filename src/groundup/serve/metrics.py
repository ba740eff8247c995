"""Counters of one server, in Prometheus' text format 0.0.4."""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable

COUNTED = {
    "answers": "Answers generated, whole or until their reader left.",
    "answer_seconds": "Seconds from request to the end of the answer.",
    "prompt_tokens": "Tokens of the prompts.",
    "completion_tokens": "Tokens generated.",
    "clients_left": "Clients gone before the end of their answer.",
}
MEASURED = {
    "time_to_first_token_seconds": "From the request to the first token of its answer.",
    "time_per_output_token_seconds": "Between the tokens of an answer, on average over it.",
}
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts responses, answers and tokens, and measures times. Safe to use from any thread."""

    def __init__(self) -> None:
        self.present: Callable[[], tuple[int, int]] = lambda: (0, 0)  # (being answered, waiting); the worker sets it
        self._lock = threading.Lock()
        self._counts: dict[str, float] = dict.fromkeys(COUNTED, 0)
        self._responses: Counter[int] = Counter()
        self._buckets = {name: [0] * (len(BOUNDS) + 1) for name in MEASURED}
        self._sums = dict.fromkeys(MEASURED, 0.0)

    def add(self, **amounts: float) -> None:
        """Add to counters of `COUNTED`."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def responded(self, status: int) -> None:
        with self._lock:
            self._responses[status] += 1

    def first_token(self, seconds: float) -> None:
        self._observe("time_to_first_token_seconds", seconds)

    def per_token(self, seconds: float) -> None:
        self._observe("time_per_output_token_seconds", seconds)

    def mean_seconds(self) -> float:
        """Seconds that an answer took on average; 0 before the first."""
        with self._lock:
            return self._counts["answer_seconds"] / max(self._counts["answers"], 1)

    def text(self) -> str:
        """Everything, as Prometheus scrapes it."""
        running, waiting = self.present()
        with self._lock:
            rows = [(f"{name}_total", "counter", COUNTED[name], "", count) for name, count in self._counts.items()]
            for status, count in sorted(self._responses.items()):
                rows.append(("responses_total", "counter", "HTTP responses.", f'{{status="{status}"}}', count))
            histograms = [(name, list(self._buckets[name]), self._sums[name]) for name in MEASURED]
        rows.append(("requests_running", "gauge", "Requests being answered.", "", running))
        rows.append(("requests_waiting", "gauge", "Requests waiting in line.", "", waiting))
        lines: list[str] = []
        for name, kind, meaning, label, value in rows:
            head = _head(name, kind, meaning)
            lines += [line for line in head if line not in lines] + [f"groundup_{name}{label} {value}"]
        for name, buckets, total in histograms:
            lines += _head(name, "histogram", MEASURED[name])
            below = 0
            for bound, count in zip((*BOUNDS, "+Inf"), buckets, strict=True):
                below += count
                lines.append(f'groundup_{name}_bucket{{le="{bound}"}} {below}')
            lines += [f"groundup_{name}_sum {total}", f"groundup_{name}_count {below}"]
        return "\n".join(lines) + "\n"

    def _observe(self, name: str, seconds: float) -> None:
        with self._lock:
            self._buckets[name][bisect_left(BOUNDS, seconds)] += 1
            self._sums[name] += seconds


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP groundup_{name} {meaning}", f"# TYPE groundup_{name} {kind}"]
