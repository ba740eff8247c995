"""A run is watched while it works: its stages, its curves, and by nobody from elsewhere."""

import http.client
import threading
from pathlib import Path

import lxml.html
import pytest
from fake_run import FakeRun

from groundup.artifacts import MetricsLog
from groundup.artifacts.store import RUN
from groundup.pipeline.folder import RunFolder
from groundup.report.live import live_page, serve_live, watch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose pretraining works now."""
    run = RunFolder(tmp_path_factory.mktemp("live") / "runs" / "mine")
    run.store.root.mkdir(parents=True)
    run.event("started", "curate", key="a" * 64, expected={"seconds": 3.0})
    figures = {"summary": "3 <documents>"}
    run.event("done", "curate", artifact="curate-a", seconds=2.0, peak_rss_bytes=10**8, figures=figures)
    run.event("reused", "curate", artifact="curate-a")
    run.event("started", "pretrain", key="b" * 64, expected={"seconds": 100.0, "steps": 40})
    log = MetricsLog(run.store.root / ".building" / f"pretrain-{'b' * 12}.keep" / "metrics.jsonl")
    for step in range(1, 11):
        log.write(step, loss=8.0 - step / 10, heldout_loss=8.0 if step % 5 == 0 else None)
    log.close()
    return run


def test_stages_are_as_their_newest_events_have_them(folder: RunFolder) -> None:
    with folder.store.lock(RUN):
        curate, pretrain = watch(folder)
        page = lxml.html.fromstring(live_page(folder))
    assert (curate.state, curate.seconds, curate.peak) == ("done", 2.0, 10**8)
    assert (pretrain.state, pretrain.done, len(pretrain.rows)) == ("working", 0.25, 10)
    text = page.text_content()
    assert "3 <documents>" in text and "working, 25" in text and len(page.xpath("//figure")) == 1
    assert page.xpath("//meta[@http-equiv='refresh']/@content") == ["5"] and not page.xpath("//script")
    assert watch(folder)[1].state == "interrupted"  # nobody holds the folder any more


def test_a_finished_run_has_curves_of_every_stage(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, documents=())
    for name, artifact in run.artifacts.items():
        run.events.event("done", name, artifact=artifact.path.name, seconds=1.0, figures=artifact.figures)
    page = lxml.html.fromstring(live_page(run.events))
    assert len(page.xpath("//figure")) >= 4


def test_only_this_machine_is_answered(folder: RunFolder) -> None:
    """A page of elsewhere that makes a browser ask under its own name gets nothing."""
    address: list[str] = []
    there = threading.Event()

    def ready(given: str) -> None:
        address.append(given)
        there.set()

    threading.Thread(target=serve_live, args=(folder, 0, ready), daemon=True).start()
    assert there.wait(10)
    port = int(address[0].rstrip("/").rpartition(":")[2])
    answers = {}
    for host, path in (("localhost", "/"), ("evil.example", "/"), ("localhost", "/artifacts")):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        answers[host, path] = connection.getresponse().status
        connection.close()
    assert answers == {("localhost", "/"): 200, ("evil.example", "/"): 403, ("localhost", "/artifacts"): 404}


def test_what_only_an_earlier_run_came_to_waits(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "again")
    run.store.root.mkdir(parents=True)
    for name in ("curate", "pretrain", "sft"):
        run.event("done", name, artifact=f"{name}-a", seconds=1.0)
    run.event("reused", "curate", artifact="curate-a")
    run.event("started", "pretrain", key="b" * 64)
    assert [(one.name, one.state) for one in watch(run)] == [
        ("curate", "done"),
        ("pretrain", "interrupted"),
        ("sft", "waits"),
    ]
