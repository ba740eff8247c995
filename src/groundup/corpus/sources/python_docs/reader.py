"""The Python documentation that every machine has, one document per symbol, module, help topic and package.

    python-docs
    |- the standard library   imported and listed by `introspect.py` in a process of its own
    |- pydoc_data.topics      the language reference that `help()` shows
    '- installed packages     docstrings through `ast` (never imported), and their long descriptions

A symbol's document is `NAME(signature)`, a blank line and its docstring, and it says two facts of itself: the summary
line and the parameters. The same Python version with the same packages gives the same documents in the same order.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from groundup.corpus.clean import clean
from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources.python_docs import docstrings
from groundup.corpus.sources.python_docs.docstrings import symbol_facts
from groundup.corpus.sources.python_docs.packages import package_documents
from groundup.errors import GroundupError
from groundup.progress import Progress, Silent

STANDARD_LIBRARY_LICENCE = "PSF-2.0"
TIME_LIMIT = 120.0  # seconds; the walk takes two or three
_SCRIPT = Path(__file__).with_name("introspect.py")


def read_python_docs(
    packages: Sequence[str] = (), source: str = "python-docs", progress: Progress | None = None
) -> Iterator[Document | Dropped]:
    """The documentation of this Python's standard library and of `packages`, in a fixed order.

    Raises:
        GroundupError: the standard library can't be listed, or a package is not installed.
    """
    progress = progress or Silent()
    with progress.task("reading the standard library", None, "symbols") as task:
        for row in introspect():
            if row["kind"] == "skipped":
                yield Dropped(source, row["name"], "not-importable", row["name"], excerpt=row["reason"])
            elif row["kind"] == "topic":
                text = clean(row["doc"])
                origin = f"topics/{row['name']}"
                licence = STANDARD_LIBRARY_LICENCE
                yield Document("", text, row["name"], source, origin, licence)
            elif row["kind"] == "symbol":
                yield symbol_document(
                    row["name"], row["doc"], row["signature"], row["parameters"], source, STANDARD_LIBRARY_LICENCE
                )
            task.advance(row["kind"] != "progress")
    for package in packages:
        yield from package_documents(package, source, symbol_document, progress)


def symbol_document(
    name: str, doc: str, signature: str | None, parameters: list[str] | None, source: str, licence: str
) -> Document:
    """The document of one symbol.

    Args:
        name: its public name, `os.path.join`.
        doc: its docstring as `inspect.cleandoc` leaves it.
        signature: `(a, *p)`, or None where it is to be taken from the docstring, if that begins with one.
        parameters: the parameters' names, `["a", "*p"]`, or None likewise.
        source: the source's name.
        licence: the licence of the text.
    """
    doc = clean(doc)
    if signature is None:
        split = docstrings.split(doc, name.rsplit(".", 1)[-1])
        if split.signatures:
            first = split.signatures[0]
            signature = first[first.index("(") :]
            parameters = docstrings.parameters(docstrings.arguments(first))
            doc = "\n".join([*split.signatures[1:], "", split.prose]).strip("\n")
    text = clean(f"{name}{signature or ''}\n\n{doc}")
    return Document("", text, name, source, name, licence, facts=symbol_facts(name, doc, parameters))


def introspect(time_limit: float = TIME_LIMIT) -> Iterator[dict[str, Any]]:
    """The rows that `introspect.py` prints, as it prints them.

    Raises:
        GroundupError: it failed, or took longer than `time_limit` seconds.
    """
    # Like `python -I` (no PYTHON* variables, no current folder, no site-packages), but with a fixed hash seed.
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    command = [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", str(_SCRIPT)]
    with (
        tempfile.TemporaryFile() as errors,
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**environment, "PYTHONHASHSEED": "0"},
            cwd=folder,
        ) as process,
    ):
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(time_limit, stop)
        timer.start()
        try:
            if process.stdout is not None:
                for line in process.stdout:
                    if line.endswith(b"\n"):  # a kill can cut the last one short
                        yield json.loads(line)
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
        if late.is_set():
            raise GroundupError(
                f"listing the standard library took over {time_limit:.0f} seconds",
                where="curate.sources: python-docs",
                do="run again when the machine is less busy",
            )
        if code != 0:
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().rsplit("\n", 1)[-1]
            raise GroundupError(
                f"the standard library of {sys.executable} can't be listed ({last or f'exit status {code}'})",
                where="curate.sources: python-docs",
                do="repair this Python, or use another source",
            )
