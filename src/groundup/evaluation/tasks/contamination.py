"""Which of a task's items the model has read in training: looked for in the documents of its run.

As curation does it (`corpus.contamination`): an item is found where a document has 13 words in a row of one of its
texts, or the whole of a text of 8 to 12 words. What is shorter isn't looked for.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groundup.corpus.contamination.items import EvaluationItems
from groundup.corpus.documents import part_paths, read_batches
from groundup.corpus.duplicates.fingerprints import batches_of

AT_ONCE = 4_000_000  # bytes of documents


def contamination(name: str, items: Sequence[Sequence[str]], documents: Path) -> dict[str, Any]:
    """How many items of a task occur in training documents.

    Args:
        items: the texts of each.
        documents: the folder `documents` of a `curate` artifact; its held-out documents don't count.

    Returns:
        `set`, `items`, `too_short` (not looked for), `found`, and `rows`, the found ones' indices.

    Raises:
        GroundupError: the documents can't be read.
    """
    import pyarrow.compute as pc

    wanted, rows = EvaluationItems.of_texts(name, items), set[int]()
    for path in part_paths(documents):
        for batch in read_batches(path, ["text", "split"]):
            training = batch.filter(pc.equal(batch.column("split"), "train"))
            for texts in batches_of(training.column("text"), AT_ONCE):
                rows.update(wanted.find(texts).items.tolist())
    return {
        "set": name,
        "items": len(items),
        "too_short": len(wanted.too_short),
        "found": len(rows),
        "rows": sorted(rows),
    }
