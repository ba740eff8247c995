"""A fingerprint changes when a source does, and only then, and costs no reading the second time."""

import os
from pathlib import Path

import pytest

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.fingerprint import fingerprint
from groundup.errors import GroundupError

OLD = 1_000_000_000  # seconds; a time of change long past


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.md", "c.png"):
        (folder / name).write_text(name)
        os.utime(folder / name, (OLD, OLD))
    return folder


def of(base: Path, *sources: dict[str, object]) -> dict[str, str]:
    return fingerprint(CurateConfig(sources=sources), base, base / "cache")  # type: ignore[arg-type]


def test_every_change_of_a_folder_shows(folder: Path) -> None:
    source = {"kind": "files", "path": "docs"}
    first = of(folder.parent, source)
    assert list(first) == ["docs"]
    assert of(folder.parent, source) == first
    (folder / "c.png").write_text("contents of a file that is not read")
    (folder / ".hidden.txt").write_text("x")
    assert of(folder.parent, source) == first
    seen = [first["docs"]]
    (folder / "a.txt").write_text("changed")
    seen.append(of(folder.parent, source)["docs"])
    (folder / "a.txt").rename(folder / "d.txt")
    seen.append(of(folder.parent, source)["docs"])
    (folder / "e.png").write_text("listed as skipped")
    seen.append(of(folder.parent, source)["docs"])
    assert len(set(seen)) == 4


def test_the_same_files_elsewhere_have_the_same_digest(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "moved")
    moved = of(tmp_path, {"kind": "files", "path": "moved"})["moved"]
    (tmp_path / "moved").rename(folder)
    assert of(tmp_path, {"kind": "files", "path": str(folder)})["docs"] == moved


def test_python_docs_are_known_by_versions(tmp_path: Path) -> None:
    found = of(tmp_path, {"kind": "python-docs", "packages": ["rich"]})
    assert list(found) == ["python-docs: python", "python-docs: rich"]
    assert found["python-docs: rich"][0].isdigit()


def test_two_sources_of_one_name(folder: Path) -> None:
    source = {"kind": "files", "path": "docs"}
    assert list(of(folder.parent, source, source)) == ["docs", "docs-2"]


def test_what_is_missing_is_named_as_written(tmp_path: Path) -> None:
    with pytest.raises(GroundupError) as error:
        of(tmp_path, {"kind": "files", "path": "no/such"})
    assert error.value.where == "no/such"
    with pytest.raises(GroundupError, match="not installed"):
        of(tmp_path, {"kind": "python-docs", "packages": ["no-such-package"]})


def test_models_lists_and_evaluation_sets_are_known_too(folder: Path) -> None:
    """Whatever their type; a folder by all its files."""
    base = folder.parent
    (base / "lid.bin").write_bytes(b"model")
    (base / "exam.jsonl").write_text("{}")
    config = CurateConfig(
        sources=[{"kind": "files", "path": "docs"}],  # type: ignore[list-item]
        language={"model": "lid.bin"},  # type: ignore[arg-type]
        contamination={"sets": [{"path": "exam.jsonl"}]},  # type: ignore[arg-type]
        near_duplicates={"earlier": ["docs"]},  # type: ignore[arg-type]
    )
    first = fingerprint(config, base, base / "cache")
    assert list(first) == ["docs", "language.model", "contamination.sets.0.path", "near_duplicates.earlier.0"]
    (base / "lid.bin").write_bytes(b"other")
    (folder / "c.png").write_text("contents of a file that is no source")
    second = fingerprint(config, base, base / "cache")
    assert {key for key in first if first[key] != second[key]} == {"language.model", "near_duplicates.earlier.0"}
    (base / "lid.bin").unlink()
    with pytest.raises(GroundupError, match=r"lid\.bin: can't be read"):
        fingerprint(config, base, base / "cache")
