"""Counters of one server, in Prometheus' text format 0.0.4."""

import threading
from collections import Counter
from collections.abc import Callable

COUNTED = {
    "answers": "Answers generated, whole or until their reader left.",
    "answer_seconds": "Seconds spent generating.",
    "prompt_tokens": "Tokens of the prompts.",
    "completion_tokens": "Tokens generated.",
    "clients_left": "Clients gone before the end of their answer.",
}


class Metrics:
    """Counts responses, answers and tokens. Safe to use from any thread."""

    def __init__(self) -> None:
        self.present: Callable[[], int] = lambda: 0  # requests being answered or waiting; the desk sets it
        self._lock = threading.Lock()
        self._counts: dict[str, float] = dict.fromkeys(COUNTED, 0)
        self._responses: Counter[int] = Counter()

    def add(self, **amounts: float) -> None:
        """Add to counters of `COUNTED`."""
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def responded(self, status: int) -> None:
        with self._lock:
            self._responses[status] += 1

    def mean_seconds(self) -> float:
        """Seconds that an answer took on average; 0 before the first."""
        with self._lock:
            return self._counts["answer_seconds"] / max(self._counts["answers"], 1)

    def text(self) -> str:
        """Everything, as Prometheus scrapes it."""
        present = self.present()
        with self._lock:
            rows = [(f"{name}_total", "counter", COUNTED[name], "", count) for name, count in self._counts.items()]
            for status, count in sorted(self._responses.items()):
                rows.append(("responses_total", "counter", "HTTP responses.", f'{{status="{status}"}}', count))
        rows.append(("requests_running", "gauge", "Requests being answered.", "", min(present, 1)))
        rows.append(("requests_waiting", "gauge", "Requests waiting in line.", "", max(present - 1, 0)))
        lines: list[str] = []
        for name, kind, meaning, label, value in rows:
            head = [f"# HELP groundup_{name} {meaning}", f"# TYPE groundup_{name} {kind}"]
            lines += [line for line in head if line not in lines] + [f"groundup_{name}{label} {value}"]
        return "\n".join(lines) + "\n"
