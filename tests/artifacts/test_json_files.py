"""JSON from elsewhere: whatever is wrong with a file is one line that names it; sealed files notice every byte."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from groundup.artifacts import json_files
from groundup.artifacts.json_files import read_json, read_sealed, write_sealed
from groundup.errors import GroundupError


@dataclass
class Card:
    name: str
    turns: int


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"name": "\ud800"}', "utf-8"),
        ("[]", "it holds no JSON object"),
        ('{"a": ' * 70 + "1" + "}" * 70, "nested 70 deep, and 64 is the limit"),
        ("[" * 1_000_000, "nested 1,000,000 deep"),
        ('{"a": Infinity}', "Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
    ],
)
def test_what_is_no_json_object_is_one_line(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(GroundupError, match=what) as raised:
        read_json(path, do="write it again")
    assert str(raised.value).startswith(str(path)) and str(raised.value).endswith("write it again")
    assert "\n" not in str(raised.value)


def test_brackets_in_strings_are_not_nesting(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": "' + "[" * 1000 + '\\"{{{", "b": ["\\\\"]}')
    assert read_json(tmp_path / "x.json")["b"] == ["\\"]


def test_types_are_checked_and_named(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text('{"name": "mine", "turns": "many"}')
    with pytest.raises(GroundupError, match=r"turns: input should be a valid integer"):
        read_json(path, Card)
    path.write_text('{"name": "mine", "turns": 2}')
    assert read_json(path, Card) == Card("mine", 2)


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MAX_BYTES", 10)
    (tmp_path / "x.json").write_text('{"a": "0123456789"}')
    with pytest.raises(GroundupError, match="is the limit"):
        read_json(tmp_path / "x.json")
    with pytest.raises(GroundupError, match="No such file"):
        read_json(tmp_path / "none.json")


def test_every_changed_byte_of_a_sealed_file_is_noticed(tmp_path: Path) -> None:
    path, random = tmp_path / "x.json", Random(2)
    content = {"stages": {"curate": "curate-é"}, "numbers": [1, 2.5, None, True]}
    write_sealed(path, "a format", content)
    whole = path.read_bytes()
    assert read_sealed(path, "a format", "write it again") == content
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << random.randrange(8))]) + whole[at + 1 :])
        with pytest.raises(GroundupError):
            read_sealed(path, "a format", "write it again")
    path.write_bytes(whole)
    with pytest.raises(GroundupError, match="is of the format 'a format', and this version of groundup reads 'b'"):
        read_sealed(path, "b", "write it again")
