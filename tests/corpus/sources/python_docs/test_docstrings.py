"""Summary lines and signatures are taken from docstrings of every style that the standard library holds."""

import inspect

import pytest

from groundup.corpus.documents import Fact
from groundup.corpus.sources.python_docs import docstrings


@pytest.mark.parametrize(
    ("name", "doc", "summary"),
    [
        ("f", "Do it.\n\nMore text.", "Do it."),
        ("f", "Do it\n\nMore.", "Do it"),
        ("f", "Do it on\nseveral lines. Then more.", "Do it on several lines."),
        ("max", "max(a, *[, key=func]) -> value\nmax(b) -> value\n\nReturn the biggest. Yes.", "Return the biggest."),
        ("pop", "D.pop(k[,d]) -> v, remove the key and return it.\n\nIf not found.", "remove the key and return it."),
        ("keys", "D.keys() -> a set-like object providing a view on D", "a set-like object providing a view on D"),
        ("bits", "bits(k) -> x.  Generates an int with k bits.", "Generates an int with k bits."),
        ("chain", "chain(*its) --> chain object\n\nReturn a chain. Of all.", "Return a chain."),
        ("partial", "partial(func, *args) - new function with some arguments.\n", "new function with some arguments."),
        ("register", "register(n, f=a.b): register a handler", "register a handler"),
        ("popitem", "D.popitem() -> (k, v), remove and return some pair.", "remove and return some pair."),
        ("both", "both() -> new empty thing of kinds\nboth(x) -> new thing made from x", "new empty thing of kinds"),
        ("gm", "gm([s]) -> (year,\n   month)\n\nConvert seconds. Yes.", "Convert seconds."),
        ("f", "Title\n=====\n\nThe text below it. More.", "The text below it."),
        ("f", "!!! note\n    Beware.\n\nWhat it does. More.", "What it does."),
        ("f", "Make these:\n- one\n- two", "Make these:"),
        ("f", "f(x) prints x and more. Yes.", "f(x) prints x and more."),
        ("f", "f(x)", ""),
        ("f", "Deprecated", ""),
        ("f", "----", ""),
    ],
)  # fmt: skip
def test_summary(name: str, doc: str, summary: str) -> None:
    assert docstrings.summary(inspect.cleandoc(doc), name) == summary


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("a, *p", ["a", "*p"]),
        ("self, x=1, /, *, y: dict[str, int] = {}, **kw", ["x", "y", "**kw"]),
        ("iterable, *[, default=obj, key=func]", ["iterable", "default", "key"]),
        ("object, name[, default]", ["object", "name", "default"]),
        ("x=(1, 2), y={3: 4}", ["x", "y"]),
        ("", []),
        ("a, ...", None),
        ("<first argument>", None),
    ],
)
def test_parameters(arguments: str, names: list[str] | None) -> None:
    assert docstrings.parameters(arguments) == names


def test_every_form_of_a_signature_is_set_apart() -> None:
    split = docstrings.split(
        "range(stop) -> range object\nrange(start, stop[, step]) -> range object\n\nText.", "range"
    )
    assert split.signatures == ("range(stop) -> range object", "range(start, stop[, step]) -> range object")
    assert split.prose == "Text."
    assert docstrings.arguments(split.signatures[1]) == "start, stop[, step]"


def test_facts_of_a_symbol() -> None:
    facts = docstrings.symbol_facts("os.path.join", "Join two. If any.", ["a", "*p"])
    assert facts == (Fact("os.path.join", "summary", "Join two."), Fact("os.path.join", "parameters", "a, *p"))
    assert docstrings.symbol_facts("f", "Word", []) == ()
