"""Every compression gives all bytes or reports where they break off, and nothing grows without bound."""

import bz2
import gzip
import io
import lzma
import os
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.sources.streams import ByteStream, bounded_lines, open_stream, unpacked, whole
from groundup.corpus.sources.unreadable import UnreadableError

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("suffix", PACK)
def test_several_packed_parts_one_after_the_other_are_one_file(suffix: str) -> None:
    """As `cat a.gz b.gz` makes them, and as web archives are."""
    parts = [os.urandom(50_000), b"", b"and the rest"]
    data = b"".join(PACK[suffix](part) for part in parts)
    assert whole(unpacked(io.BytesIO(data), suffix), 1 << 20) == b"".join(parts)


@pytest.mark.parametrize("suffix", PACK)
@settings(max_examples=60)
@given(cut=st.floats(0.01, 0.99))
def test_a_cut_is_reported_and_what_is_before_it_is_read(suffix: str, cut: float) -> None:
    """A cut anywhere in the packed bytes: a prefix of the text, then `truncated`. Never less without a word."""
    text = b"".join(b"line %d\n" % (n * n) for n in range(3000))
    data = PACK[suffix](text)
    stream = unpacked(io.BytesIO(data[: max(1, int(len(data) * cut))]), suffix)
    found = b""
    with pytest.raises(UnreadableError) as error:
        while chunk := stream.read(100):
            found += chunk
    assert error.value.rule == "truncated"
    assert text.startswith(found) and found != text


@pytest.mark.parametrize("suffix", PACK)
def test_a_bomb_is_stopped_in_bounded_memory(suffix: str) -> None:
    """400 MB of one byte in a packed file of a few kilobytes to a few hundred."""
    packer = {
        ".gz": lambda: zlib.compressobj(9, wbits=31),
        ".bz2": bz2.BZ2Compressor,
        ".xz": lambda: lzma.LZMACompressor(preset=0),
        ".zst": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    }[suffix]()
    block = b"x" * 4_000_000
    data = b"".join(packer.compress(block) for _ in range(100)) + packer.flush()
    stream = unpacked(io.BytesIO(data), suffix)
    tracemalloc.start()
    (found,) = [line for _, _, line in bounded_lines(stream, 1000)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(found, UnreadableError) and found.rule == "unpacks-too-large"
    assert found.threshold == 200 and found.value is not None and found.value > 200
    assert peak < 100_000_000
    assert stream.given < 200_000_000


def test_a_small_file_may_grow_by_any_factor() -> None:
    data = gzip.compress(b"a" * 20_000_000)
    assert len(whole(unpacked(io.BytesIO(data), ".gz"), 30_000_000)) == 20_000_000


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.integers(1, 7))
def test_lines_are_those_that_splitting_gives(lines: list[bytes], step: int) -> None:
    whole_file = b"\n".join(lines)
    data = io.BytesIO(whole_file)
    found = {
        number: (at, line) for number, at, line in bounded_lines(ByteStream(lambda size: data.read(step)), limit=8)
    }
    for number, line in enumerate(lines, 1):
        if number in found:
            at = found[number][0]
            assert whole_file[at : at + len(line)] == line
        if len(line) > 8:
            assert isinstance(found[number][1], UnreadableError)
        elif line.strip():
            assert found[number][1] == line
        else:
            assert number not in found


def test_a_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(range(100)))
    with open_stream(tmp_path / "x", 20, 30) as stream:
        assert whole(stream, 1000) == bytes(range(20, 30))
    with open_stream(tmp_path / "x", 20) as stream:
        assert whole(stream, 1000) == bytes(range(20, 100))


def test_rows_before_the_break_of_a_gzip_are_all_read() -> None:
    """Each row is a member of its own, the last one is cut; zeros between members are padding."""
    rows = [f"row {n} ".encode() * 50 for n in range(300)]
    members = [gzip.compress(row + b"\n") for row in rows]
    data = b"".join(members[:200]) + b"\0" * 3000 + b"".join(members[200:])
    *found, last = [line for _, _, line in bounded_lines(unpacked(io.BytesIO(data[:-10]), ".gz"), 10_000)]
    assert found == rows[:299]
    assert isinstance(last, UnreadableError) and last.rule == "truncated"
