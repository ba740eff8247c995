"""Documentation that is installed with Python: docstrings and topics of the standard library and of packages.

`reader.py` gives the documents of the source `python-docs`: those that `introspect.py` lists of the standard library,
in a process of its own, and those that `packages.py` finds in packages' sources, without importing them.
`docstrings.py` sets signature, prose and summary of a docstring apart.
"""
