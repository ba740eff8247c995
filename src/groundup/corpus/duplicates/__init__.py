"""Documents, paragraphs and lines that say what others say already.

The form of texts and their hashes:

    normal_form.py    the form in which texts are compared
    minhash.py        shingles and signatures: the compiled inner loops
    fingerprints.py   what is kept of each document to find its duplicates, and the files it lies in

Duplicates among documents, from fingerprints alone:

    near.py           what is dropped, and how it is found: the phases in their order
    search.py         what is searched, and how the work is cut
    runs.py           records on their way from task to task
    merit.py          which of two documents is the better one
    exact.py          documents with the same bytes
    bands.py          links between documents that share a band key
    components.py     connected components of the links
    gathered.py       the documents of a component, brought together
    choice.py         which documents stay
    sets.py           sets of shingles, read from the files and compared
    recall.py         how many near-duplicates the search finds: by formula and by brute force

Lines and paragraphs that occur in many documents:

    units.py          lines and paragraphs as hashes: the compiled loops
    repeated.py       which are repeated, and documents without them
"""
