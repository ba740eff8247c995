"""The road of a document, from a source to the corpus.

    partitions.py   every source cut into pieces of about `partition_mb`, in a fixed order
    candidates.py   each partition by itself: read, then the steps of steps.py: redaction, URLs, lines, language,
                    statistics, rules, contamination; what passes is a candidate with a fingerprint
    scoring.py      the quality of each candidate, if there is a classifier
    decisions.py    all candidates at once, on fingerprints: quality threshold, duplicates, held-out documents
    keeping.py      each partition again: its documents and its ledger, as decided
    curation.py     runs these phases on an engine; finished.py lets a killed run resume after the finished partitions
    stage.py        the stage `curate` of the pipeline

For example, three files in a folder of notes:

    a.md "# Tea ..." (300 words)    b.txt, a copy of a.md with another date    c.txt "TODO" (1 word)

    partitions   one partition, since together they are smaller than `partition_mb`
    candidates   a.md and b.txt pass the rules; c.txt breaks `min_words`: its ledger row has value 1, threshold 50
    decisions    a.md and b.txt are near-duplicates of similarity .97; a.md is longer and stays
    keeping      documents/part-00000.parquet: a.md (split `train` or `heldout`, by the hash in its id);
                 ledger/part-00000.parquet: three rows, b.txt with rule `near-duplicate` and the id of a.md
"""
