"""The standard library's documentation: what is known of it by heart is found in it, once, and alike every time."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.corpus.documents import Document, Dropped
from groundup.corpus.sources.python_docs.reader import introspect, read_python_docs
from groundup.errors import GroundupError


@pytest.fixture(scope="module")
def found() -> list[Document | Dropped]:
    return list(read_python_docs())


@pytest.fixture(scope="module")
def documents(found: list[Document | Dropped]) -> dict[str, Document]:
    return {one.origin: one for one in found if isinstance(one, Document)}


def facts(document: Document) -> dict[str, str]:
    assert all(fact.subject == document.title for fact in document.facts)
    return {fact.aspect: fact.answer for fact in document.facts}


KNOWN = {
    "os.path.join": ("Join two or more pathname components, inserting '/' as needed.", "a, *p"),
    "len": ("Return the number of items in a container.", "obj"),
    "str.join": ("Concatenate any number of strings.", "iterable"),
    "math.sin": ("Return the sine of x (measured in radians).", "x"),
    "list.append": ("Append object to the end of the list.", "object"),
    "random.randint": ("Return random integer in range [a, b], including both end points.", "a, b"),
    "re.sub": (
        "Return the string obtained by replacing the leftmost non-overlapping occurrences of the pattern in string by"
        " the replacement repl.",
        "pattern, repl, string, count, flags",
    ),
    "asyncio.run": ("Execute the coroutine and return the result.", None),
    "unittest.TestCase": ("A class whose instances are single test cases.", "methodName"),
    "base64.b64encode": ("Encode the bytes-like object s using Base64 and return a bytes object.", "s, altchars"),
    "json": (None, None),
    "dict.fromkeys": ("Create a new dictionary with keys from iterable and values set to value.", "iterable, value"),
    "getattr": (None, "object, name, default"),
    "max": (None, None),
    "functools.lru_cache": ("Least-recently-used cache decorator.", "maxsize, typed"),
    "pathlib.PurePath.parent": ("The logical parent of the path.", None),
    "OSError": ("Base class for I/O related errors.", None),
    "subprocess.Popen": ("Execute a child program in a new process.", None),
}


@pytest.mark.parametrize("name", KNOWN)
def test_well_known_symbols(documents: dict[str, Document], name: str) -> None:
    summary, parameters = KNOWN[name]
    document = documents[name]
    known = facts(document)
    assert known["summary"] == summary or summary is None
    assert known.get("parameters") == parameters or parameters is None
    assert document.text.startswith((f"{name}(", f"{name}\n\n"))
    assert (document.title, document.source, document.licence) == (name, "python-docs", "PSF-2.0")


def test_how_much_there_is(documents: dict[str, Document]) -> None:
    symbols = [one for origin, one in documents.items() if not origin.startswith("topics/")]
    summaries = [facts(one)["summary"] for one in symbols if "summary" in facts(one)]
    assert len(symbols) > 5000
    assert len(summaries) > 3500
    assert sum(summary.endswith(".") for summary in summaries) > 3500
    assert len([origin for origin in documents if origin.startswith("topics/")]) > 50
    assert documents["topics/assert"].text.startswith('The "assert" statement')


def test_each_symbol_has_one_name(found: list[Document | Dropped], documents: dict[str, Document]) -> None:
    assert len(documents) == sum(isinstance(one, Document) for one in found)
    for other in ("posixpath.join", "asyncio.runners.run", "unittest.case.TestCase", "builtins.len", "posix.getcwd"):
        assert other not in documents
    assert not any(part.startswith("_") for origin in documents for part in origin.split("."))


def test_what_this_machine_lacks_is_listed(found: list[Document | Dropped]) -> None:
    dropped = [one for one in found if isinstance(one, Dropped)]
    assert all(one.rule == "not-importable" and one.excerpt for one in dropped)
    assert sys.platform == "win32" or "winreg" in {one.origin for one in dropped}


def test_nothing_of_this_machine_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDUP_TEST_SECRET", "sesame-opens")
    for row in introspect():
        text = repr(row)
        assert "sesame-opens" not in text
        assert " at 0x" not in text
        assert sys.prefix not in text


def test_alike_in_another_process_with_another_hash_seed(found: list[Document | Dropped], tmp_path: Path) -> None:
    script = "from groundup.corpus.sources.python_docs.reader import read_python_docs\n"
    script += "import hashlib; print(hashlib.sha256(repr(list(read_python_docs())).encode()).hexdigest())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "99", "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == hashlib.sha256(repr(found).encode()).hexdigest()


def test_a_walk_that_takes_too_long_is_ended() -> None:
    with pytest.raises(GroundupError, match=r"took over 0 seconds; run again"):
        list(introspect(time_limit=0.05))
