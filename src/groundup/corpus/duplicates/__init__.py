"""Documents, paragraphs and lines that say what others say already.

The form of texts and their hashes:

    normal_form.py    the form in which texts are compared
    minhash.py        shingles and signatures: the compiled inner loops
    fingerprints.py   what is kept of each document to find its duplicates, and the files it lies in

Duplicates among documents, from fingerprints alone:

    near.py           what is dropped, and how it is found
    components.py     groups of documents with equal keys
    sets.py           sets of shingles, read from the files and compared
    choice.py         which documents stay
    recall.py         how many near-duplicates the search finds: by formula and by brute force

Lines and paragraphs that occur in many documents:

    units.py          lines and paragraphs as hashes: the compiled loops
    repeated.py       which are repeated, and documents without them
"""
