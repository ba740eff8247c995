"""A corpus of any size out of real text, with a known fraction of duplicates: what curation's memory is measured on.

    python -m benchmarks.large_corpus SOURCE TARGET --megabytes 2000

SOURCE is a folder of text (any that `curate.sources` reads), TARGET a folder of jsonl files. Documents are cut from the
source and perturbed: most are new texts made of paragraphs drawn from different documents, some repeat an earlier one
with a few words changed, some repeat one as it is. The same arguments give the same bytes.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from groundup.corpus.configuration import Files, Source

NEAR, EXACT = 0.10, 0.05  # fractions of the documents
CHANGED = 0.02  # of the words of a near-duplicate
MEAN_PARAGRAPHS = 8
FILE_BYTES = 100_000_000
REMEMBERED = 2000  # documents that duplicates are made from


def paragraphs(source: Source) -> list[str]:
    """The paragraphs of all documents of 40 characters or more."""
    from groundup.corpus.documents import Document
    from groundup.corpus.sources import read_sources

    found: list[str] = []
    for item in read_sources([source], Path()):
        if isinstance(item, Document):
            found += [one for one in item.text.split("\n") if len(one) >= 40]
    return found


def documents(drawn: list[str], seed: int) -> Iterator[str]:
    """Texts without end."""
    chance = random.Random(seed)
    words = sorted({word for one in drawn[:2000] for word in one.split()})
    before: list[str] = []
    while True:
        kind = chance.random()
        if before and kind < EXACT:
            yield chance.choice(before)
            continue
        if before and kind < EXACT + NEAR:
            text = chance.choice(before).split(" ")
            for _ in range(max(1, int(CHANGED * len(text)))):
                text[chance.randrange(len(text))] = chance.choice(words)
            yield " ".join(text)
            continue
        count = 1 + int(chance.expovariate(1 / MEAN_PARAGRAPHS))
        # The words that are changed in each paragraph keep two documents that drew the same one from being duplicates.
        text_ = "\n\n".join(_varied(chance.choice(drawn), chance, words) for _ in range(count))
        if len(before) < REMEMBERED:
            before.append(text_)
        else:
            before[chance.randrange(REMEMBERED)] = text_
        yield text_


def _varied(paragraph: str, chance: random.Random, words: list[str]) -> str:
    """The paragraph with about every ninth word replaced."""
    varied = paragraph.split(" ")
    index = chance.randrange(9)
    while index < len(varied):
        varied[index] = chance.choice(words)
        index += 1 + chance.randrange(16)
    return " ".join(varied)


def write(source: Source, target: Path, megabytes: float, seed: int = 1, file_bytes: int = FILE_BYTES) -> int:
    """Write the corpus in files of `file_bytes`; returns the number of its documents."""
    target.mkdir(parents=True, exist_ok=True)
    texts = documents(paragraphs(source), seed)
    left, number, written = megabytes * 1e6, 0, 0
    while left > 0:
        size = 0
        with (target / f"part-{number:03}.jsonl").open("w", encoding="utf-8") as file:
            while size < min(left, file_bytes):
                line = json.dumps({"text": next(texts), "url": f"https://example.org/{written}"}, ensure_ascii=False)
                size += file.write(line + "\n")
                written += 1
        left -= size
        number += 1
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--megabytes", type=float, default=2000.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{write(Files(kind='files', path=given.source), given.target, given.megabytes, given.seed):,} documents")
