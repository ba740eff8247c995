"""A run as it is now, on a page that renews itself: `groundup report RUN --live`, on this machine alone.

    metrics.jsonl                              which stage began when, and what was predicted of it
    artifacts/.building/<stage>-*.keep/        the steps of the stage that works now
    artifacts/<stage>-*/records/               those of stages that are done

Nothing is written and no lock is taken, so a run can be watched from its start, and a finished one too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import groundup
from groundup.artifacts import read_metrics
from groundup.artifacts.store import RUN
from groundup.pipeline.folder import RunFolder
from groundup.report.markup import BAR, Html, bar, figure, join, number, p, side_by_side, table, tag
from groundup.report.page import brand, document_head
from groundup.report.plots import curve_of, curves
from groundup.report.run import NAMES
from groundup.report.runs_compared import METRICS
from groundup.report.wording import count, duration, percent, size

SECONDS = 5  # between one page and the next
HOST = "127.0.0.1"
MINE = ("127.0.0.1", "localhost")  # names by which a browser on this machine asks; any other is refused
LOSSES = {"pretrain": ("loss", "heldout_loss"), "sft": ("loss", "heldout_loss"), "reward": ("loss", "heldout_accuracy")}
TITLES = {"report": "Report", "start": "Start", **NAMES}
ORDER = ("curate", "start", *(name for name in NAMES if name != "curate"), "report")


@dataclass(frozen=True)
class WatchedStage:
    """A stage of the newest run, from its events."""

    name: str
    state: str
    """`done`, `working`, `stopped`, `failed`, `interrupted`; `waits` where only an earlier run had come to it."""
    seconds: float
    predicted: dict[str, float]
    peak: int | None
    summary: str
    rows: list[dict[str, Any]]
    """One a step."""

    @property
    def done(self) -> float | None:
        """The fraction of the predicted steps that are taken; None where steps were not predicted."""
        steps = self.predicted.get("steps")
        if self.state == "done":
            return 1.0
        return min(1.0, self.rows[-1]["step"] / steps) if steps and self.rows else None


def watch(folder: RunFolder, now: Callable[[], float] = time.time) -> list[WatchedStage]:
    """The stages that this run or an earlier one has come to, in the order in which they run."""
    newest: dict[str, dict[str, Any]] = {}
    begun: dict[str, dict[str, Any]] = {}
    for event in folder.events():
        if event["event"] == "started":
            begun[event["stage"]] = event
        before = newest.pop(event["stage"], None)  # listed where its newest event is
        if event["event"] == "reused" and before and before["event"] == "done":
            event = before  # which has its figures
        newest[event["stage"]] = event
    last = max((ORDER.index(name) for name in [*newest][-1:]), default=0)
    found = []
    for name in sorted(newest, key=ORDER.index):
        stage = _stage(folder, newest[name], begun.get(name, {}), now())
        if ORDER.index(name) > last:  # of an earlier run, and this one has not come to it
            stage = WatchedStage(name, "waits", 0.0, {}, None, "", [])
        found.append(stage)
    return found


def live_page(folder: RunFolder) -> str:
    """The whole page."""
    found = watch(folder)
    works = folder.store.held(RUN)
    head = document_head(f"{folder.path.name}, live")
    renewing = Html(f'<meta http-equiv="refresh" content="{SECONDS}">')
    head = Html(head.replace("</head>", f"{renewing}</head>"))
    spent = sum(one.seconds for one in found)
    state = "is running" if works else "is not running"
    lead = p(f"{state}; {duration(spent)} so far. This page renews itself every {SECONDS} seconds.", class_="lead")
    body = tag(
        "body",
        tag("header", brand(), tag("h1", folder.path.name), lead),
        tag("main", tag("section", _stages(found), *_drawn(found))),
        tag("footer", p(f"groundup {groundup.__version__}, on this machine alone.")),
    )
    return join([Html("<!doctype html>\n"), tag("html", head, body, lang="en"), "\n"])


def serve_live(folder: RunFolder, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page on the loopback address until Ctrl-C.

    Args:
        port: 0 for any free one.
        ready: called with the address.
    """

    class LivePage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = (self.headers.get("Host") or "").rpartition(":")[0] or self.headers.get("Host", "")
            if name not in MINE:  # another name that leads here is a page of elsewhere, asking by this browser
                self.send_error(HTTPStatus.FORBIDDEN)
                return
            if self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            content = live_page(folder).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            return None

    with ThreadingHTTPServer((HOST, port), LivePage) as server:
        ready(f"http://{HOST}:{server.server_address[1]}/")
        server.serve_forever()


def _stage(folder: RunFolder, event: dict[str, Any], begun: dict[str, Any], now: float) -> WatchedStage:
    name, kind = event["stage"], event["event"]
    figures = event.get("figures") or {}
    predicted = begun.get("expected") or {}
    if kind in ("done", "reused"):
        path = folder.path / "artifacts" / event["artifact"] / "records" / "metrics.jsonl"
        seconds = float(event.get("seconds", 0.0))
        rows = read_metrics(path) if path.is_file() else []
        return WatchedStage(name, "done", seconds, predicted, event.get("peak_rss_bytes"), _summary(figures), rows)
    state = {"started": "working" if folder.store.held(RUN) else "interrupted"}.get(kind, kind)
    since = datetime.fromisoformat(begun["time"].replace("Z", "+00:00")).timestamp() if begun else now
    seconds = now - since if state == "working" else float(event.get("seconds", 0.0))
    kept = folder.store.kept_under(name, begun.get("key", "")) / "metrics.jsonl"
    rows = read_metrics(kept) if kept.is_file() else []
    return WatchedStage(name, state, seconds, predicted, None, str(event.get("error", "")), rows)


def _summary(figures: dict[str, Any]) -> str:
    return str(figures["summary"]) if isinstance(figures.get("summary"), str) else ""


def _stages(found: list[WatchedStage]) -> Html:
    if not found:
        return p("Nothing has begun yet.")
    rows = [
        (
            TITLES.get(one.name, one.name),
            one.state if one.done is None or one.state == "done" else f"{one.state}, {percent(one.done, 0)}",
            bar(one.done) if one.done is not None else None,
            duration(one.seconds),
            tag("span", duration(one.predicted.get("seconds")), class_="quiet"),
            size(one.peak) if one.peak else None,
            one.summary,
        )
        for one in found
    ]
    numbers = (number("time"), number("predicted"), number("peak memory"))
    return table(["stage", "", BAR, *numbers, "result"], rows, class_="prose")


def _drawn(found: list[WatchedStage]) -> list[Html]:
    """Curves of every stage that has steps, the newest stage first."""
    figures = []
    for one in reversed(found):
        keys = LOSSES.get(one.name) or tuple(key for key, _, _ in METRICS.get(one.name, ()))
        for group in [keys] if "heldout_loss" in keys else [[key] for key in keys]:
            lines = [
                curve_of(
                    one.rows, key, key.replace("heldout", "validation").replace("_", " "), colour, dots="held" in key
                )
                for key, colour in zip(group, "ab", strict=False)
            ]
            if any(lines):
                name = f"live-{one.name}-{group[0].replace('_', '-')}"
                title = (
                    f"{TITLES.get(one.name, one.name)}: {group[0].replace('heldout', 'validation').replace('_', ' ')}"
                )
                figures.append(figure(title, curves(name, f"{title} over {count(len(one.rows))} steps", lines)))
    return [side_by_side(*figures)] if figures else []
