"""Markdown and reStructuredText stay readable: what is for programs goes, and no word that is for people does."""

import importlib.metadata
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.extraction.markdown import read_markdown
from groundup.corpus.extraction.restructuredtext import read_rst

RST = """.. _top:

=====
Guide
=====

:Author: Someone

Read :ref:`this <label>` and :class:`~os.Path` with ``code``. See `the site <https://x.org>`_ |version|.

.. comment, not shown
   nor this

Part
----

.. note:: Take care.

   It is *hot*.

.. code-block:: python
   :linenos:

   x = :ref:`kept`

.. versionadded:: 3.2
   A thing.

.. toctree::
   :maxdepth: 2

   other

.. function:: open(file)

   Opens it.

.. image:: x.png
   :alt: nothing

Sub
~~~

Literal::

    kept as it is
"""


def test_restructuredtext() -> None:
    title, text = read_rst(RST)
    assert title == "Guide"
    lines = [line for line in text.split("\n") if line.strip()]
    assert lines == [
        "# Guide",
        ":Author: Someone",
        "Read this and os.Path with ``code``. See the site version.",
        "## Part",
        "Note: Take care.",
        "It is *hot*.",
        "```python",
        "x = :ref:`kept`",
        "```",
        "Added in 3.2",
        "A thing.",
        "open(file)",
        "Opens it.",
        "### Sub",
        "Literal:",
        "    kept as it is",
    ]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Write ``:ref:`a``` or ``|x|`` here", "Write ``:ref:`a``` or ``|x|`` here"),
        ("``a <b>`_`` and :ref:`c`", "``a <b>`_`` and c"),
        ("no ``literal and :ref:`c`", "no ``literal and c"),
        ("`` not :ref:`c` ``", "`` not c ``"),
        ("a :py:func:`~os.path` and `link <http://x.y>`_", "a os.path and link"),
        ("a :py:func:`!Some title <os.path>`", "a Some title"),
    ],
)
def test_literals_of_restructuredtext_are_not_changed(source: str, text: str) -> None:
    assert read_rst(source)[1] == text


def test_real_restructuredtext() -> None:
    """Descriptions of installed packages: words of plain paragraphs all stay."""
    seen = 0
    for package in importlib.metadata.distributions():
        said = package.metadata
        if (said.get("Description-Content-Type") or "").startswith("text/x-rst"):
            source = said.get_payload() or said.get("Description") or ""
            plain = [
                block
                for block in re.split(r"\n\s*\n", source)
                if re.fullmatch(r"[A-Z][\w ,.'()\n-]+\.", block) and not re.search(r"^(\W)\1{2,}$", block, re.MULTILINE)
            ]
            text = " ".join(read_rst(source)[1].split())
            for block in plain:
                assert " ".join(block.split()) in text
            seen += len(plain)
    assert seen > 5


def test_markdown() -> None:
    title, text = read_markdown("---\ntitle: 'It'\nx: y\n---\n# A\n<!-- gone\n-->b\n```\n<!-- kept -->\n```\n<!--x-->c")
    assert (title, text) == ("It", "# A\nb\n```\n<!-- kept -->\n```\nc")


@given(st.text(alphabet="ab`~#\n<!->=. :_|*", max_size=80))
def test_any_text_is_read(text: str) -> None:
    read_rst(text)
    assert read_markdown(text)[1] == text or "<!--" in text or text.startswith("---")


@pytest.mark.parametrize(
    "unit",
    ["`", "|x", ":a:`", "<!--", "..\n", "..  a::\n", "=\n", "=====\na\n", "`a <", "\n  ", "a::\n b\n", ">>> a\n"],
)
def test_long_runs_take_linear_time(unit: str) -> None:
    import time

    started = time.process_time()
    read_rst(unit * 20_000)
    read_markdown(unit * 20_000)
    assert time.process_time() - started < 4


def test_literal_blocks_stay() -> None:
    """After `::`, in directives too, and in sessions: nothing in them is a role, a link, a directive or a comment."""
    literal = "    :ref:`a` and |b| and `c <d>`_\n\n    .. note:: e\n       f\n    .. g"
    assert read_rst(f"Write::\n\n{literal}\n\nNow :ref:`x`.")[1] == f"Write:\n\n{literal}\n\nNow x."
    session = ">>> a = ':ref:`b`'\n|c|_"
    assert read_rst(f"Then :ref:`x`:\n\n{session}\n\nNow |y|.")[1] == f"Then x:\n\n{session}\n\nNow y."
    assert ":ref:`kept`" in read_rst(".. note:: Write::\n\n      :ref:`kept`\n\n   Now :ref:`x`.")[1]
