"""The store: whole artifacts or none, one builder at a time, and everything traceable."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.artifacts import Artifact, Measured, MetricsLog, StageKey, Store, durable, read_metrics
from groundup.errors import GroundupError

COST = Measured(1.5, 1 << 20)


def make(store: Store, stage: str, text: str, inputs: dict[str, str] | None = None, number: int = 0) -> Artifact:
    key = StageKey(stage, 1, {"number": number}, 7, inputs or {})
    out, _ = store.begin(key)
    (out / "result.txt").write_text(text)
    (out / "records").mkdir()
    (out / "records" / "curve.txt").write_text(f"{text} {number}")
    return store.publish(key, {"length": len(text)}, COST, {})


def test_what_is_published_is_found_with_its_figures(tmp_path: Path) -> None:
    made = make(Store(tmp_path), "a", "hello")
    found = Store(tmp_path).find(made.manifest.key)
    assert found == made
    assert found is not None
    assert found.figures == {"length": 5}
    assert found.file("result.txt").read_text() == "hello"
    assert Store(tmp_path).find(StageKey("a", 2, {"number": 0}, 7)) is None


def test_the_content_is_what_sha256sum_says_of_the_files_without_records(tmp_path: Path) -> None:
    one, other = make(Store(tmp_path), "a", "hello"), make(Store(tmp_path), "a", "hello", number=1)
    line = f"{hashlib.sha256(b'hello').hexdigest()}  result.txt\n"
    assert one.manifest.content == other.manifest.content == hashlib.sha256(line.encode()).hexdigest()
    assert one.manifest.files["records/curve.txt"] != other.manifest.files["records/curve.txt"]


@pytest.mark.parametrize("name", ["result.txt", "records/curve.txt"])
@pytest.mark.parametrize("harm", ["change", "remove"])
def test_a_harmed_file_is_named(tmp_path: Path, name: str, harm: str) -> None:
    made = make(Store(tmp_path), "a", "hello")
    made.verify()
    path = made.path / name
    if harm == "change":
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    else:
        path.unlink()
    with pytest.raises(GroundupError) as caught:
        made.verify()
    assert caught.value.where == str(path)


def test_beginning_again_empties_the_result_and_keeps_checkpoints(tmp_path: Path) -> None:
    store, key = Store(tmp_path), StageKey("a", 1, {}, 7)
    out, keep = store.begin(key)
    (out / "half").write_text("x")
    (keep / "checkpoint").write_text("x")
    out, keep = store.begin(key)
    assert list(out.iterdir()) == []
    assert [path.name for path in keep.iterdir()] == ["checkpoint"]
    (out / "result").write_text("x")
    store.publish(key, {}, COST, {})
    assert not keep.exists()


HOLDER = """
import sys
from pathlib import Path
from groundup.artifacts import Store
with Store(Path(sys.argv[1])).lock("a"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    with holder.stdout, holder.stdin:
        assert holder.stdout.readline() == "held\n"
        assert store.held("a")
        with (
            pytest.raises(GroundupError, match=f"process {holder.pid} on .* is working on its stage a"),
            store.lock("a"),
        ):
            pass
        with store.lock("b"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not store.held("a")
    with store.lock("a"):
        assert store.held("a")


def test_sweeping_removes_halves_and_keeps_checkpoints_and_artifacts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made, key = make(store, "a", "hello"), StageKey("b", 1, {}, 7)
    _, keep = store.begin(key)
    (keep / "checkpoint").write_text("x")
    (store.root / f"{durable.DOOMED}a-00-1").mkdir()
    store.sweep()
    kept = sorted(path.name for path in store.root.rglob("*") if path.is_dir())
    assert kept == sorted([".building", keep.name, made.path.name, "records"])


def test_sweeping_leaves_what_is_being_built(tmp_path: Path) -> None:
    store = Store(tmp_path)
    out, _ = store.begin(StageKey("b", 1, {}, 7))
    with store.lock("b"):
        store.sweep()
        assert out.is_dir()
    store.sweep()
    assert not out.exists()


def test_what_no_run_uses_and_what_a_stage_resumes_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old, new = make(store, "a", "old"), make(store, "a", "new", number=1)
    _, empty = store.begin(StageKey("b", 1, {}, 7))
    _, keep = store.begin(StageKey("c", 1, {}, 7))
    (keep / "checkpoint-1").mkdir()
    assert store.unused({new.path.name}) == ([old.path, empty], [keep])


def test_lineage_reaches_every_ancestor_once(tmp_path: Path) -> None:
    """A diamond: d from b and c, both from a."""
    store = Store(tmp_path)
    a = make(store, "a", "1")
    b = make(store, "b", "2", {"a": a.manifest.content})
    c = make(store, "c", "3", {"a": a.manifest.content})
    d = make(store, "d", "4", {"b": b.manifest.content, "c": c.manifest.content})
    make(store, "e", "5")
    assert [one.stage for one in store.lineage(d)] == ["d", "b", "c", "a"]
    durable.remove(a.path)
    with pytest.raises(GroundupError, match=r"its input a .* is not in this run folder"):
        store.lineage(d)


def test_a_full_disk_while_publishing_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    old = make(store, "a", "old")
    key = StageKey("a", 2, {}, 7)
    out, keep = store.begin(key)
    (out / "result.txt").write_text("new")
    (keep / "checkpoint").write_text("x")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GroundupError, match=r"No space left on device.*make room"):
        store.publish(key, {}, COST, {})
    monkeypatch.undo()
    old.verify()
    assert store.find(key) is None
    assert (keep / "checkpoint").exists()


def test_writing_text_on_a_full_disk_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text"
    durable.write_text(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        durable.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "is_disk"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EROFS, "x"), True),
        (RuntimeError("I/O error: No space left on device (os error 28)"), True),
        (OSError(errno.ENOENT, "x"), False),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_disk_errors_are_distinguished_from_others(error: Exception, is_disk: bool) -> None:
    assert durable.is_disk_error(error) is is_disk


def test_metrics_written_after_the_checkpoint_are_dropped_on_resuming(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in (1, 2, 3):
        log.write(step, loss=float("nan") if step == 2 else step)
    log.close()
    with path.open("a") as file:
        file.write('{"step": 4, "lo')  # a kill in the middle of a row
    log = MetricsLog(path, resume_at=2)
    log.write(3, loss=30)
    log.close()
    assert read_metrics(path) == [{"step": 1, "loss": 1}, {"step": 2, "loss": None}, {"step": 3, "loss": 30}]
