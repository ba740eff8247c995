"""From folders of files and this machine's own documentation to documents worth training on.

Where to find what:

    configuration.py   the `curate:` section
    sources/           what there is to read, in pieces, and the documents in each piece
    extraction/        bytes to text: character sets, HTML, XML, markup languages
    curate/            the road of a document, in the order of its steps; start reading here
    filters/ redaction/ contamination/ quality/ duplicates/    the steps' own work, as functions over columns of text
    documents.py, ledger.py    the two folders that the stage writes: what was kept, and an account of everything found
    engine.py          the same functions on one core, on all cores or on a Ray cluster

For a notebook, with plain arguments:

    >>> from groundup.corpus import deduplicate, extract, language, quality, redact
    >>> redact("Call Jo: jo@web.org").text
    'Call Jo: <email>'

`deduplicate(texts)` finds exact and near-duplicates, `extract(html)` the main text of a page, `redact(text)` masks
personal data, `language(text)` names the language, `quality` trains and applies classifiers of good text, and
`nearest(documents, text)` finds the training documents that a text is nearest to.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.corpus import quality
    from groundup.corpus.near_documents import nearest
    from groundup.corpus.notebook import deduplicate, extract, language, redact

__all__ = ["deduplicate", "extract", "language", "nearest", "quality", "redact"]
__getattr__, __dir__ = exports(
    __name__,
    {
        "deduplicate": "groundup.corpus.notebook:deduplicate",
        "extract": "groundup.corpus.notebook:extract",
        "language": "groundup.corpus.notebook:language",
        "nearest": "groundup.corpus.near_documents:nearest",
        "quality": "groundup.corpus.quality",
        "redact": "groundup.corpus.notebook:redact",
    },
)
