"""From folders of files and this machine's own documentation to documents worth training on.

Where to find what:

    configuration.py   the `curate:` section
    sources/           what there is to read, in pieces, and the documents in each piece
    extraction/        bytes to text: character sets, HTML, XML, markup languages
    curate/            the road of a document, in the order of its steps; start reading here
    filters/ redaction/ contamination/ quality/ duplicates/    the steps' own work, as functions over columns of text
    documents.py, ledger.py    the two folders that the stage writes: what was kept, and an account of everything found
    engine.py          the same functions on one core, on all cores or on a Ray cluster
"""
