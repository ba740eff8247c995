"""A folder of fifty kinds of files reads as a person expects."""

from pathlib import Path

import pytest

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files
from made.kinds import FILES, Reason, Text


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Document | Dropped]:
    folder = tmp_path_factory.mktemp("kinds")
    for name, (data, _) in FILES.items():
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return read(folder)


def read(path: Path, **options: object) -> list[Document | Dropped]:
    source = Files.model_validate({"kind": "files", "path": path, **options})
    return [one for piece in pieces(source, "src", path.parent) for one in read_piece(piece, source)]


@pytest.mark.parametrize("name", FILES)
def test_every_kind(found: list[Document | Dropped], name: str) -> None:
    of_file = [
        one for one in found if one.origin == name or one.origin.startswith((f"{name}/", f"{name}:", f"{name}#"))
    ]
    for one, expected in zip(of_file, FILES[name][1], strict=True):
        if isinstance(expected, Reason):
            assert isinstance(one, Dropped) and one.rule == expected.rule
        else:
            assert isinstance(one, Document), one
            assert one.text.startswith(expected.text)
            assert len(one.text) == len(expected.text) or not expected.is_whole
            assert one.title == expected.title or not expected.title
            assert one.origin == (expected.origin or name)


def test_there_are_fifty() -> None:
    assert len(FILES) >= 50
    assert sum(isinstance(end, Text) for _, ends in FILES.values() for end in ends) >= 45


def test_source_code_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    """By the source, and by the preset `code` of the rules, unless the source refuses it."""
    (tmp_path / "a.py").write_text("x = 1\n")
    (one,) = read(tmp_path, code=True)
    assert isinstance(one, Document) and (one.text, one.title) == ("x = 1", "a")
    config = {"sources": [{"kind": "files", "path": "a"}, {"kind": "files", "path": "b", "code": False}]}
    assert [one.code for one in CurateConfig(**config).complete_sources] == [False, False]  # type: ignore[union-attr, arg-type]
    config["rules"] = {"preset": "code"}  # type: ignore[assignment]
    assert [one.code for one in CurateConfig(**config).complete_sources] == [True, False]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_without_a_known_suffix(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a").write_bytes("A note about a caf\u00e9.".encode(encoding))
    (tmp_path / "b.geo").write_bytes('[{"text": "A row."}]'.encode(encoding))
    (tmp_path / "c.xyz").write_bytes(bytes([1, 0, 2, 0]) * 40)
    assert {one.origin: one.text if isinstance(one, Document) else one.rule for one in read(tmp_path)} == {
        "a": "A note about a caf\u00e9.",
        "b.geo:1": "A row.",
        "c.xyz": "unsupported-type",
    }
