"""Documents that hold what a model will be examined with.

Evaluation sets are read, looked for in documents, and what is found is taken out and accounted for:

    configuration.py   the evaluation sets, and what happens to documents that hold some of them
    items.py           evaluation sets as n-grams that can be looked up
    search.py          the compiled lookup
    matches.py         where items occur in documents
    removal.py         taking paragraphs out, and the account of what was found for which item
"""
