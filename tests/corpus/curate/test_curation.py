"""The whole plan: the same bytes from every engine, in every order, and however often it is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import curation_script as made_up
import pytest

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import DOCUMENTS, Document, Fact, document_id, read_documents
from groundup.corpus.finished import part_folder
from groundup.corpus.ledger import LEDGER, dropped_entries, entries
from groundup.errors import GroundupError

CONFIG = CurateConfig(sources=[{"kind": "python-docs"}], near_duplicates={"digits_alike": False})
LONG = " ".join(
    f"The {n}th sentence of a longer text about cats, dogs and birds of the {n * 7 % 13}th house." for n in range(30)
)


def start(folder: Path, kind: str = "local", workers: int = 1) -> subprocess.Popen[bytes]:
    script = Path(made_up.__file__)
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), kind, str(workers)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(script.parent), *sys.path]), "PYTHONHASHSEED": "random"},
        stdout=subprocess.DEVNULL,
        process_group=0,
    )


def finish(folder: Path, kind: str = "local", workers: int = 1) -> tuple[dict[str, str], dict]:
    """Digests and figures of a curation that nothing interrupts."""
    assert start(folder, kind, workers).wait(240) == 0
    return made_up.digests(folder / "out"), json.loads((folder / "figures.json").read_text())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict]:
    """What one worker makes in one go."""
    folder = tmp_path_factory.mktemp("expected")
    made_up.main(folder, "local", 1)
    return made_up.digests(folder / "out"), json.loads((folder / "figures.json").read_text())


def test_figures_add_up(expected: tuple[dict[str, str], dict]) -> None:
    digests, figures = expected
    assert len(digests) == 2 * made_up.PARTS
    steps = {step["step"]: step["documents"] for step in figures["funnel"]}
    assert steps["found"] == steps["read"] == 960
    assert figures["dropped"]["min_words"] == 74
    assert figures["dropped"]["near-duplicate"] > 80
    assert figures["dropped"]["exact-duplicate"] > 50
    assert steps["near-duplicates"] == figures["documents"] == 960 - sum(figures["dropped"].values())
    assert figures["sources"]["made-up"]["documents"] == figures["documents"]
    assert figures["sources"]["made-up"]["licences"] == {"": figures["documents"]}


def test_several_workers_make_the_same_bytes(tmp_path: Path, expected: tuple[dict[str, str], dict]) -> None:
    assert finish(tmp_path, "local", 2) == expected


def test_a_ray_cluster_makes_the_same_bytes(tmp_path: Path, expected: tuple[dict[str, str], dict]) -> None:
    pytest.importorskip("ray")
    assert finish(tmp_path, "ray", 2) == expected


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_to_the_same_bytes(
    tmp_path: Path, expected: tuple[dict[str, str], dict], workers: int
) -> None:
    """SIGKILL to all its processes, at random times; what was finished is not made again."""
    delays = random.Random(11)
    read = tmp_path / "keep" / "read"
    finished: dict[Path, int] = {}
    for _ in range(4):
        process = start(tmp_path, workers=workers)
        try:
            while process.poll() is None and not read.is_dir():
                time.sleep(0.005)
            time.sleep(delays.uniform(0.0, 0.6 if workers == 1 else 6.0))
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        now = {path: path.stat().st_ino for path in read.glob("part-*") if (path / "finished.json").exists()}
        assert now.items() >= finished.items()
        finished = now
    assert finish(tmp_path, workers=workers) == expected
    assert {path: path.stat().st_ino for path in finished} == finished


@pytest.mark.slow
def test_twenty_kills_at_random_times_change_nothing(tmp_path: Path, expected: tuple[dict[str, str], dict]) -> None:
    """While it reads, decides and writes; each run does a little more than the one before."""
    delays = random.Random(12)
    folders = {"read": 0, "decided": 0, "kept": 0}
    for number in range(20):
        process = start(tmp_path)
        wanted = ("read", "decided", "kept")[min(number // 6, 2)]
        for _ in range(4000):
            if process.poll() is not None or (tmp_path / "keep" / wanted).is_dir():
                break
            time.sleep(0.005)
        time.sleep(delays.uniform(0, 0.5))
        if process.poll() is None:
            folders[wanted] += 1
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert folders["read"] and folders["decided"], "no kill came while it worked"
    assert finish(tmp_path) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", "ray"])
def test_ranges_and_workers_make_the_same_bytes(
    tmp_path: Path, expected: tuple[dict[str, str], dict], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decisions too are made in other processes, in ranges of 100 documents."""
    if kind == "ray":
        pytest.importorskip("ray")
    monkeypatch.setenv("CURATION_RANGE", "100")
    assert finish(tmp_path, kind, 2) == expected


def test_a_partition_damaged_between_two_runs_is_rebuilt(tmp_path: Path, expected: tuple[dict[str, str], dict]) -> None:
    made_up.main(tmp_path, "local", 1)
    damaged = part_folder(tmp_path / "keep" / "read", 3) / "candidates.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    for path in made_up.digests(tmp_path / "out"):
        (tmp_path / "out" / path).unlink()
    made_up.main(tmp_path, "local", 1)
    assert made_up.digests(tmp_path / "out") == expected[0]


def keep(found: list[Document], folder: Path, parts: int = 1) -> tuple[dict[str, Document], dict[str, object]]:
    """`(documents by id, figures)` of documents dealt out to partitions."""
    folder.mkdir()
    dealt = [Given(tuple(found[part::parts]), "s") for part in range(parts)]
    figures = curate(dealt, CONFIG, folder, folder / "keep", folder)
    return {one.id: one for one in read_documents(folder / DOCUMENTS)}, figures


def test_order_and_partitions_of_the_input_change_nothing(tmp_path: Path) -> None:
    texts = [f"Document {n} speaks of matter {n * 37 % 101} and of nothing else at all." for n in range(50)]
    texts += texts[:10] + [LONG, f"{LONG} And one more.", f"{LONG} Or two.", "too short"]
    found = [Document(document_id(text), text, "", "s", f"{n}") for n, text in enumerate(texts)]
    one = keep(found, tmp_path / "one")
    shuffled = random.Random(3).sample(found, len(found))
    several = keep(shuffled, tmp_path / "several", 5)
    assert one[0].keys() == several[0].keys()
    assert {id: one.split for id, one in one[0].items()} == {id: one.split for id, one in several[0].items()}
    assert one[1] == several[1]


def test_facts_of_a_duplicate_are_not_lost(tmp_path: Path) -> None:
    """Also where it lies in another partition."""
    facts = [
        (Fact("json.dump", "summary", "A."),),
        (Fact("json.dumps", "summary", "B."), Fact("json.dump", "summary", "C.")),
        (Fact("json.dumps", "summary", "D."), Fact("json.load", "summary", "E.")),
    ]
    texts = (LONG + " To a file.", LONG + " Text.", LONG + " Or.")
    found = [
        Document(document_id(text), text, "", "s", text[-9:], facts=some)
        for text, some in zip(texts, facts, strict=True)
    ]
    for parts in (1, 3):
        ((kept,), _) = keep(found, tmp_path / str(parts), parts)[0].values(), None
        assert kept.facts == (
            Fact("json.dump", "summary", "A."),
            Fact("json.dumps", "summary", "B."),
            Fact("json.load", "summary", "E."),
        )


def test_the_ledger_lists_everything(tmp_path: Path) -> None:
    other = " ".join(f"Something else {n}" for n in range(40))
    texts = [LONG, LONG + " More.", LONG, "Too short.", other, other]
    found = [
        Document(document_id(text), text, f"t{n}", "s", f"o{n}", "MIT", url=f"http://a/{n}", offset=n)
        for n, text in enumerate(texts)
    ]
    documents, _ = keep(found, tmp_path / "x", 2)
    (short,) = entries(tmp_path / "x" / LEDGER, "o3")
    assert (short.rule, short.value, short.threshold, short.excerpt) == ("min_words", 2.0, 5.0, "Too short.")
    assert (short.offset, short.url, short.licence, short.bytes) == (3, "http://a/3", "MIT", 10)
    assert short.quality is None
    assert short.measured["words"] == 2
    dropped = {one.origin: one for one in dropped_entries(tmp_path / "x" / LEDGER)}
    assert dropped.keys() == {"o0", "o2", "o3", "o5"}
    for near in (dropped["o0"], dropped["o2"]):
        assert (near.rule, near.threshold, near.duplicate_of) == ("near-duplicate", 0.7, found[1].id)
        assert near.value and 0.9 < near.value < 1
    same = dropped["o5"]
    assert (same.rule, same.value, same.threshold, same.duplicate_of) == ("exact-duplicate", 1.0, None, found[4].id)
    for one in documents.values():
        row, *_ = entries(tmp_path / "x" / LEDGER, one.id[:12])
        assert (row.rule, row.origin, row.offset, row.excerpt) == ("", one.origin, one.offset, "")


def test_nothing_left_says_why(tmp_path: Path) -> None:
    found = [Document(document_id(text), text, "", "s", text) for text in ("One.", "Two.")]
    with pytest.raises(
        GroundupError, match=r"curate: no document is left of 2 that were read.*min_words \(2\).*loosen"
    ):
        keep(found, tmp_path / "x")
