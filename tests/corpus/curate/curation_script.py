"""Curates made-up documents in a process that tests can kill: `python curation_script.py FOLDER KIND WORKERS`."""

import hashlib
import json
import os
import sys
from pathlib import Path

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate import decisions
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import Document, Fact, document_id
from groundup.corpus.engine import DataEngine

PARTS = 12
CONFIG = CurateConfig(sources=[{"kind": "python-docs"}])  # type: ignore[list-item]


def text(number: int) -> str:
    """Some 150 words; every seventh text is a near-duplicate of the one before, every eleventh an exact one."""
    of = number - (number % 7 == 6) - (number % 11 == 10)
    digest = hashlib.sha256(str(of).encode()).hexdigest()
    words = [f"word{digest[at % 60 : at % 60 + 3]}{at % 11}" for at in range(150)]
    return " ".join(words) + (" and more" if number % 7 == 6 else "")


def partitions(documents: int = 960) -> list[Given]:
    """Documents dealt out in turn, so that duplicates lie in different partitions; some are too short to be kept."""
    found = []
    for number in range(documents):
        said = text(number) if number % 13 else f"short {number}"
        fact = Fact(f"subject {number}", "summary", f"It is number {number}.")
        found.append(Document(document_id(said), said, f"title {number}", "made-up", f"{number}", facts=(fact,)))
    return [Given(tuple(found[part::PARTS]), "made-up") for part in range(PARTS)]


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a result."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.parquet"))
    }


def main(folder: Path, kind: str, workers: int) -> None:
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    engine, config = DataEngine(kind, workers), CONFIG  # type: ignore[arg-type]
    if ranges := os.environ.get("CURATION_RANGE"):  # of so many documents, decided about by the engine
        decisions.ALONE = 0
        config = CurateConfig.model_validate(
            {"sources": [{"kind": "python-docs"}], "engine": {"range_documents": int(ranges)}}
        )
    figures = curate(partitions(), config, out, folder / "keep", folder, engine)
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
