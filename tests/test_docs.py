"""What the documents name exists: files, make targets, verbs of the command line."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from groundup.cli.main import app

HOME = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*HOME.glob("*.md"), *(HOME / "docs").rglob("*.md"), *(HOME / "benchmarks").rglob("*.md")])
SEARCHED = (HOME, HOME / "src" / "groundup", HOME / "docs", HOME / "docs" / "decisions")

names = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(HOME)))


@names
def test_named_files_exist(document: Path) -> None:
    """Paths with a slash and a suffix, as `model/decoder.py`, from the project's root, its package or docs/; and the
    targets of links."""
    text = document.read_text(encoding="utf-8")
    paths = set(
        re.findall(
            r"(?<![\w/.~*-])(?:src|tests|docs|benchmarks|examples|tools|[a-z_]+)/[\w/.-]+\.(?:py|md|json|svg|png)\b",
            text,
        )
    )
    paths |= set(re.findall(r"\]\(([^)#:\s]+)", text))
    missing = [path for path in sorted(paths) if not found(path, document)]
    assert not missing, f"{document.name} names {missing}"


def found(path: str, document: Path) -> bool:
    """Whether a path exists, or is one that a run makes."""
    made = path.startswith(("runs/", "records/", "report/", "model/config", "mine/", "documents/"))
    return made or any((root / path).exists() for root in (*SEARCHED, document.parent))


@names
def test_named_make_targets_exist(document: Path) -> None:
    """`make run` and the like."""
    makefile = (HOME / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4})make ([a-z-]+)", document.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets, f"{document.name} names {sorted(named - targets)}"


@names
def test_named_verbs_exist(document: Path) -> None:
    """`groundup run` and the like."""
    verbs = set(get_command(app).commands)
    named = set(
        re.findall(r"(?:`|^ {4}(?:\$ )?)groundup ([a-z][a-z-]*)", document.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert named <= verbs, f"{document.name} names {sorted(named - verbs)}"


def test_the_table_of_billions_is_drawn_from_the_results() -> None:
    from scale_table import PAGE, drawn

    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, "run `python tools/scale_table.py`"
