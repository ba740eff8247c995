"""Damaged files of every kind: whatever the damage, documents or reasons come out, and the process lives."""

import io
import random
import zipfile
from pathlib import Path

import pytest

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.rules import RULES
from groundup.corpus.sources import pieces, read_piece
from groundup.corpus.sources.configuration import Files
from made.kinds import FILES

SEEDS = {
    name: data if isinstance(data, bytes) else data.encode()
    for name, (data, _) in FILES.items()
    if not name.endswith((".css", ".png", ".xlsx", ".mp4"))
}
# Numbers and marks that formats count and nest by.
TOKENS = (
    b"\0" * 8,
    b"\xff" * 8,
    b"9" * 20,
    b"<",
    b"[" * 50,
    b"{" * 50,
    b"\n",
    b'"',
    b"\\",
    b"PK\x01\x02",
    b"\xcc\x81" * 50,
)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A few damages, one after another: bytes changed, cut, repeated, moved, or replaced by `TOKENS`."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        at, length = draw.randrange(len(found) + 1), draw.choice((1, 1, 2, 4, 16, 100))
        kind = draw.randrange(6)
        if kind == 0 and found:
            found[draw.randrange(len(found))] = draw.randrange(256)
        elif kind == 1:
            del found[at:]
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            found[at:at] = found[at : at + length] * draw.choice((1, 10, 100))
        elif kind == 4:
            found[at : at + length] = draw.choice(TOKENS)
        else:
            start = draw.randrange(len(found) + 1)
            found[at:at] = found[start : start + length]
    return bytes(found)


def damaged_within(data: bytes, draw: random.Random) -> bytes:
    """A zip archive, also an office document, of which one member is damaged and all sums are right."""
    found = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(found, "w") as made:
        names = archive.namelist()
        chosen = draw.choice(names)
        for name in names:
            made.writestr(name, damaged(archive.read(name), draw) if name == chosen else archive.read(name))
    return found.getvalue()


def check(folder: Path, mutations: int, seed: int, method: str = "resiliparse") -> int:
    """Damage every kind of file so often; each folder of damaged files is read to its end. How many were damaged."""
    draw = random.Random(seed)
    for turn in range(mutations):
        for name, data in SEEDS.items():
            within = data.startswith(b"PK") and draw.random() < 0.5
            (folder / name).write_bytes((damaged_within if within else damaged)(data, draw))
        source = Files.model_validate(
            {"kind": "files", "path": folder, "code": True, "extraction": {"method": method, "seconds": 10}}
        )
        seen = set()
        for piece in pieces(source, "src", folder):
            for one in read_piece(piece, source):
                seen.add(piece.relative)
                if isinstance(one, Document):
                    assert one.text.encode(), (seed, turn, one.origin)
                else:
                    assert isinstance(one, Dropped) and one.rule in RULES, (seed, turn, one.origin, one.rule)
                    assert one.rule not in ("reading-timeout", "reading-memory", "reading-crash"), (
                        seed,
                        turn,
                        one.origin,
                    )
        assert seen == set(SEEDS), (seed, turn)
    return mutations * len(SEEDS)


def test_damaged_files(tmp_path: Path) -> None:
    check(tmp_path, mutations=6, seed=20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_hundred_thousand_damages(tmp_path: Path, seed: int) -> None:
    """5,000 for each seed; of every fourth the pages go through the slower extractor."""
    method = "trafilatura" if seed % 4 == 0 else "resiliparse"
    assert check(tmp_path, -(-5000 // len(SEEDS)), 21 + seed, method) >= 5000
