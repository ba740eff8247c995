"""The whole stage: what goes in comes out or is listed, alike in every process, and mistakes are told in one line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.artifacts.work import Work
from groundup.corpus.configuration import CurateConfig, RulesConfig
from groundup.corpus.curation import curate
from groundup.corpus.documents import (
    DOCUMENTS,
    DROPPED,
    Document,
    Fact,
    document_id,
    part_path,
    read_documents,
    read_dropped,
)
from groundup.corpus.sources import read_sources
from groundup.corpus.stage import stage
from groundup.errors import GroundupError

GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren und sollen einander brüderlich begegnen. "
LONG = " ".join(
    f"The {n}th sentence of a longer text about cats, dogs and birds of the {n * 7 % 13}th house." for n in range(30)
)

SCRIPT = """
import sys
from pathlib import Path
from groundup.artifacts.work import Work
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.stage import stage
out, base = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir()
stage(CurateConfig(sources=[{"kind": "files", "path": "docs"}]), {}, Work(out, out, 1, base))
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(40):
        (docs / f"{n:02}.md").write_text(
            f"# Topic {n}\n\nNumber {n} has {n * n} parts, and each of them is named {chr(97 + n % 26)}.\n"
        )
    (docs / "german.txt").write_text(GERMAN * 3)
    (docs / "short.txt").write_text("Too short.")
    (docs / "long.txt").write_text(LONG)
    (docs / "longer.txt").write_text(LONG + " And one more.")
    (docs / "long copy.txt").write_text(LONG)
    (docs / "noise.txt").write_text("12 34 56 78 90 12 34 56 78")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8")
    (docs / "data.txt").write_bytes(b"\0\1\2")
    return tmp_path


def run(base: Path, **values: object) -> tuple[dict, Path]:
    out = base / "out"
    out.mkdir()
    config = CurateConfig(sources=[{"kind": "files", "path": "docs"}], **values)  # type: ignore[arg-type, list-item]
    return stage(config, {}, Work(out, out, 1, base)), out


def test_everything_is_kept_or_listed(base: Path) -> None:
    figures, out = run(base)
    documents, dropped = list(read_documents(out / DOCUMENTS)), list(read_dropped(out / DROPPED))
    assert {one.origin: one.rule for one in dropped} == {
        "german.txt": "language",
        "short.txt": "min_words",
        "noise.txt": "min_alphabetic_words",
        "photo.jpg": "unsupported-type",
        "data.txt": "binary",
        "long.txt": "exact-duplicate",
        "long copy.txt": "near-duplicate",
    }
    by_origin = {one.origin: one for one in documents}
    assert len(documents) == 41
    assert [one.origin for one in documents] == sorted(by_origin)
    near = next(one for one in dropped if one.rule == "near-duplicate")
    assert near.duplicate_of == by_origin["longer.txt"].id
    assert near.value is not None and near.value > 0.9 and near.threshold == 0.7
    assert all(one.id == hashlib.sha256(one.text.encode()).hexdigest()[:32] for one in documents)
    assert by_origin["07.md"].facts == (
        Fact("Topic 7", "section", "Number 7 has 49 parts, and each of them is named h."),
    )

    assert [(step["step"], step["documents"]) for step in figures["funnel"]] == [
        ("found", 48),
        ("read", 46),
        ("rules", 43),
        ("exact duplicates", 42),
        ("near-duplicates", 41),
    ]
    assert figures["documents"] + sum(figures["dropped"].values()) == 48
    assert figures["bytes"] == figures["funnel"][-1]["bytes"] == sum(len(one.text.encode()) for one in documents)
    heldout = [one for one in documents if one.split == "heldout"]
    assert figures["heldout_documents"] == len(heldout) > 0
    assert figures["heldout_bytes"] == sum(one.size for one in heldout)
    assert figures["sources"] == {"docs": {"documents": 41, "bytes": figures["bytes"]}}
    assert figures["languages"]["de"] == 1
    assert json.loads(json.dumps(figures)) == figures


def test_another_process_gives_equal_bytes(base: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(base / "other"), str(base)], env=environment, check=True)
    _, out = run(base)
    for path in (part_path(out / DOCUMENTS, 0), out / DROPPED):
        assert path.read_bytes() == (base / "other" / path.relative_to(out)).read_bytes()


def test_the_order_of_the_input_changes_nothing() -> None:
    texts = [f"Document {n} speaks of matter {n * 37 % 101} and of nothing else at all." for n in range(50)]
    texts += [text.upper() for text in texts[:10]]
    found = [Document(document_id(text), text, "", "s", f"{n}") for n, text in enumerate(texts)]
    forward, backward = curate(found), curate(reversed(found))
    assert (forward.documents, forward.dropped, forward.figures) == (
        backward.documents,
        backward.dropped,
        backward.figures,
    )


def test_facts_of_a_duplicate_are_not_lost() -> None:
    facts = [
        (Fact("json.dump", "summary", "A."),),
        (Fact("json.dumps", "summary", "B."), Fact("json.dump", "summary", "C.")),
    ]
    found = [
        Document(document_id(text), text, "", "s", text[-9:], facts=some)
        for text, some in zip((LONG + " To a file.", LONG + " Text."), facts, strict=True)
    ]
    (kept,) = curate(found).documents
    assert kept.facts == (Fact("json.dump", "summary", "A."), Fact("json.dumps", "summary", "B."))


def test_nothing_left_says_why(base: Path) -> None:
    with pytest.raises(
        GroundupError, match=r"curate: no document is left of 46 that were read.*min_words \(45\).*loosen"
    ):
        run(base, rules=RulesConfig(min_words=1000))


def test_a_source_without_a_readable_document_says_why(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_bytes(b"\0")
    config = CurateConfig(sources=[{"kind": "files", "path": "docs"}])  # type: ignore[list-item]
    with pytest.raises(GroundupError, match=r"docs: not one document can be read: binary \(1\); put"):
        list(read_sources(config.sources, tmp_path))
