"""The whole stage: everything is kept or listed, identically in every process, and mistakes are one line."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.artifacts.work import Work
from groundup.corpus.configuration import CurateConfig, RulesConfig
from groundup.corpus.curate.stage import stage
from groundup.corpus.documents import DOCUMENTS, Fact, part_path, read_documents
from groundup.corpus.ledger import LEDGER, dropped_entries
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
from groundup.corpus.curate.stage import stage
out, base = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir()
config = CurateConfig(sources=[{"kind": "files", "path": "docs"}], near_duplicates={"digits_alike": False})
stage(config, {}, Work(out, out, 1, base))
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
    (docs / "twin.txt").write_text("These are the words of twins, and each of them says what the other one says.")
    (docs / "twins.txt").write_text("These are the words of twins, and each of them says what the other one says.")
    (docs / "noise.txt").write_text("12 34 56 78 90 12 34 56 78")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8")
    (docs / "data.txt").write_bytes(b"\0\1\2")
    return tmp_path


def run(base: Path, **values: object) -> tuple[dict, Path]:
    out = base / "out"
    out.mkdir()
    values["near_duplicates"] = {"digits_alike": False}
    config = CurateConfig(sources=[{"kind": "files", "path": "docs"}], **values)  # type: ignore[arg-type, list-item]
    return stage(config, {}, Work(out, out, 1, base)), out


def test_everything_is_kept_or_listed(base: Path) -> None:
    figures, out = run(base)
    documents, dropped = list(read_documents(out / DOCUMENTS)), list(dropped_entries(out / LEDGER))
    assert {one.origin: one.rule for one in dropped} == {
        "german.txt": "language",
        "short.txt": "min_words",
        "noise.txt": "min_alphabetic_words",
        "photo.jpg": "unsupported-type",
        "data.txt": "binary",
        "long.txt": "near-duplicate",
        "long copy.txt": "near-duplicate",
        "twins.txt": "exact-duplicate",
    }
    by_origin = {one.origin: one for one in documents}
    assert len(documents) == 42
    answer = "Number 3 has 9 parts, and each of them is named d."
    assert by_origin["03.md"].facts == (Fact("Topic 3", "section", answer),)
    assert [one.origin for one in documents] == sorted(by_origin)
    near = next(one for one in dropped if one.rule == "near-duplicate")
    assert near.duplicate_of == by_origin["longer.txt"].id
    assert near.value is not None and near.value > 0.9 and near.threshold == 0.7
    assert all(one.id == hashlib.sha256(one.text.encode()).hexdigest()[:32] for one in documents)
    assert by_origin["07.md"].facts == (
        Fact("Topic 7", "section", "Number 7 has 49 parts, and each of them is named h."),
    )

    assert [(step["step"], step["documents"]) for step in figures["funnel"]] == [
        ("found", 50),
        ("read", 48),
        ("rules", 45),
        ("exact duplicates", 44),
        ("near-duplicates", 42),
    ]
    assert figures["documents"] + sum(figures["dropped"].values()) == 50
    assert figures["bytes"] == figures["funnel"][-1]["bytes"] == sum(len(one.text.encode()) for one in documents)
    heldout = [one for one in documents if one.split == "heldout"]
    assert figures["heldout_documents"] == len(heldout) > 0
    assert figures["heldout_bytes"] == sum(one.size for one in heldout)
    assert figures["sources"]["docs"]["documents"] == 42
    assert figures["sources"]["docs"]["bytes"] == figures["bytes"]
    assert figures["languages"]["de"] == 1
    assert json.loads(json.dumps(figures)) == figures


def test_another_process_gives_equal_bytes(base: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "99"}
    subprocess.run([sys.executable, "-c", SCRIPT, str(base / "other"), str(base)], env=environment, check=True)
    _, out = run(base)
    for path in (part_path(out / DOCUMENTS, 0), part_path(out / LEDGER, 0)):
        assert path.read_bytes() == (base / "other" / path.relative_to(out)).read_bytes()


def test_nothing_left_says_why(base: Path) -> None:
    with pytest.raises(
        GroundupError, match=r"curate: no document is left of 48 that were read.*min_words \(47\).*loosen"
    ):
        run(base, rules=RulesConfig(min_words=1000))


def test_a_source_without_a_readable_document_says_why(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_bytes(b"\0")
    with pytest.raises(GroundupError, match=r"docs: not one document can be read: binary \(1\); put"):
        run(tmp_path)


@pytest.mark.parametrize(("bad", "limit", "stops"), [(10, 0.05, False), (11, 0.05, True), (11, 0.5, False)])
def test_few_bad_rows_are_listed_and_many_stop_the_stage(tmp_path: Path, bad: int, limit: float, stops: bool) -> None:
    """Of 100 rows, which differ in their words."""
    names = ("heron", "otter", "maple", "quartz", "ember", "canal", "violin", "saffron", "glacier", "lantern")
    rows = [
        {"text": f"The {first} and the {second} are in the same story about a journey over the {second} hills."}
        for first in names
        for second in names
    ]
    lines = [json.dumps(row if at >= bad else {"body": at}) for at, row in enumerate(rows)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    out = tmp_path / "out"
    out.mkdir()
    config = CurateConfig.model_validate(
        {
            "sources": [{"kind": "files", "path": "a.jsonl", "max_bad_rows": limit}],
            "near_duplicates": {"threshold": 1},
            "rules": {"language": None},
        }
    )
    work = Work(out, out, 1, tmp_path)
    if stops:
        with pytest.raises(GroundupError, match=r"11 of 100 rows are bad, more than max_bad_rows: 0\.05") as error:
            stage(config, {}, work)
        assert error.value.what.count("there is no column 'text'; the columns are body") == 10
        assert "a.jsonl:1: no-text" in error.value.what and "a.jsonl:11:" not in error.value.what
    else:
        figures = stage(config, {}, work)
        assert figures["dropped"] == {"no-text": bad}
        assert figures["bad_rows"]["a.jsonl"]["rows"] == bad
