"""What is reported of a tokenizer, counted again one token at a time and, for GPT-2, by another library."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tokenizers

import tiny
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.errors import GroundupError
from groundup.tokenizer import figures
from groundup.tokenizer.compare import read_other, sources
from groundup.tokenizer.configuration import TokenizerConfig
from groundup.tokenizer.figures import compared, cut, uses_figures
from groundup.tokenizer.interchange.gpt2 import write_gpt2
from groundup.tokenizer.tokenizer import Tokenizer


def test_how_often_tokens_are_used() -> None:
    tokenizer, text = tiny.tokenizer(), "the rain in the thing" * 30
    uses = np.bincount(tokenizer.encode(text), minlength=264)
    found = uses_figures(tokenizer, uses)
    counts = Counter(tokenizer.encode(text))
    assert found["never_used"] == round(1 - len(counts) / 264, 6)
    assert found["rare"] == round(sum(counts[token] < 10 for token in range(264)) / 264, 6)
    assert found["uses"] == {
        "0": sum(counts[token] == 0 for token in range(264)),
        "1 to 9": sum(1 <= counts[token] < 10 for token in range(264)),
        "10 to 99": sum(10 <= counts[token] < 100 for token in range(264)),
    }
    assert sum(found["uses"].values()) == 264
    least = [(counts[token], -token) for token in range(256, 264)]
    assert found["least_used"] == [[tokenizer.decode([-token]), used] for used, token in sorted(least)]


@pytest.mark.parametrize("uses", [[0] * 264, [1000] * 264, [999, 1000, 9, 10] * 66])
def test_powers_of_ten_hold_every_token_once(uses: list[int]) -> None:
    found = uses_figures(tiny.tokenizer(), np.array(uses))
    assert sum(found["uses"].values()) == 264
    for name, tokens in found["uses"].items():
        low, _, high = name.replace(",", "").partition(" to ")
        assert tokens == sum(int(low) <= one <= int(high or low) for one in uses)


def documents(folder: Path) -> dict[str, list[Document]]:
    rows = [
        Document(document_id(text), text, "", "ab"[at % 2], language="de" if at % 3 else "en", split="train")
        for at in range(40)
        for text in [f"the thing number {at} " * (at + 1)]
    ]
    for part in range(2):
        write_documents(folder, rows[part * 20 : part * 20 + 20], part)
    return {name: [row for row in rows if name in (row.source, row.language)] for name in ("a", "b", "de", "en")}


OTHER = Tokenizer([(116, 104), (32, 116)], "gpt2")


def test_two_tokenizers_on_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first so many bytes of each source and language, those of each counted on their own."""
    monkeypatch.setattr(figures, "COMPARED_BYTES", 3000)
    rows, tokenizer = documents(tmp_path / "documents"), tiny.tokenizer()
    write_gpt2(OTHER, tmp_path / "two")
    found = compared(tmp_path / "documents", tokenizer, tmp_path / "two")
    assert (found["name"], found["vocabulary"]) == ("two", 264)
    OTHER.save(tmp_path / "other.json")
    assert compared(tmp_path / "documents", tokenizer, tmp_path / "other.json") == found | {"name": "other.json"}
    for kind, names in (("sources", "ab"), ("languages", ("de", "en"))):
        assert list(found[kind]) == list(names)
        for name in names:
            taken, size = [], 0
            for row in rows[name]:
                if size < 3000:
                    taken.append(row.text)
                    size += row.size
            assert found[kind][name] == {
                "bytes": size,
                "ours": sum(len(tokenizer.encode(text)) for text in taken),
                "theirs": sum(len(OTHER.encode(text)) for text in taken),
            }


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="holds neither"):
        read_other(tmp_path)
    with pytest.raises(GroundupError, match="can't be read"):
        read_other(tmp_path / "none.json")


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    """Its content counts, its path does not."""
    path, digests = tmp_path / "other.json", []
    for content in ("a", "b", "a"):
        path.write_text(content)
        digests.append(sources(TokenizerConfig(compare=Path("other.json")), tmp_path, tmp_path / "cache"))
    assert digests[0] == digests[2] != digests[1]
    assert len(sources(TokenizerConfig(compare=Path()), tmp_path, tmp_path / "cache")) == 1
    assert sources(TokenizerConfig(), tmp_path, tmp_path / "cache") == {}
    assert TokenizerConfig(compare=Path("x")).result_affecting() == TokenizerConfig().result_affecting()


def test_a_folder_with_two_files_is_cut_as_the_library_cuts_it(
    tokenizers_of: dict[str, Tokenizer], tmp_path: Path
) -> None:
    write_gpt2(tokenizers_of["gpt2"], tmp_path)
    theirs = tokenizers.ByteLevelBPETokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"))
    ours = read_other(tmp_path)
    assert np.array_equal(ours.merges, tokenizers_of["gpt2"].merges)
    for text in (
        "The Größe of 漢字 isn't 12,345!\n\n\t x",
        " unbelievably  spaced   out ",
        "def f(x):\n    return x\n",
    ):
        assert "".join(cut(ours, text)) == text
        assert len(ours.encode(text)) == len(theirs.encode(text).ids)
