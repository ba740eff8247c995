"""The tokenizer benchmark: equal merges and ids on every side that is installed, and a difference is an error."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import tokenizer as bench
from benchmarks import tokenizer_peers as peers
from groundup.errors import GroundupError

TEXTS = ["The cat sat on the mat, and didn't the dogs bark!\n\n" * 40, "naïve 漢字 12345 x == y  \n" * 30, "last"]


def test_every_side_has_the_same_outcome(tmp_path: Path) -> None:
    texts = str(tmp_path / "texts.json")
    Path(texts).write_text(json.dumps(TEXTS), encoding="utf-8")
    ours = bench.train(texts, str(tmp_path), 300, 1, 1)
    assert ours["seconds"] > 0
    assert peers.train_tokenizers(texts, str(tmp_path), 300, 0, 1)["result"] == ours["spelled"]
    if find_spec("rustbpe"):
        assert peers.train_rustbpe(texts, str(tmp_path), 300, 0, 1)["result"] == ours["result"]
    encoded = bench.encode(texts, str(tmp_path), 300, 1, 1)["result"]
    assert encoded == bench.encode(texts, str(tmp_path), 300, 0, 2)["result"]
    for name, side in peers.ENCODERS.items():
        if find_spec(name):
            assert side(texts, str(tmp_path), 300, 0, 1)["result"] == encoded
    counted = [bench.count(texts, str(tmp_path), 300, 1, threads)["result"] for threads in (1, 2)]
    assert counted[0] == counted[1] != encoded


def test_a_difference_is_an_error() -> None:
    with pytest.raises(GroundupError, match="encode: the ids of x and ours differ"):
        bench._same("a", "b", "the ids of x and ours", "encode")


def test_texts_are_those_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.md").write_text("one", encoding="utf-8")
    assert bench.prepare(str(tmp_path / "data"), str(tmp_path / "texts.json"), 1000) > 2
    assert "one" in peers.read(str(tmp_path / "texts.json"))[0]
