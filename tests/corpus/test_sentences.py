"""First sentences end where a reader would end them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.sentences import first_sentence


@pytest.mark.parametrize(
    ("paragraph", "sentence"),
    [
        ("Return x. Then stop.", "Return x."),
        ("Return x.  The next\nline.", "Return x."),
        ("One line without a stop", "One line without a stop"),
        ("Broken\n  over\tlines.", "Broken over lines."),
        ("Use a mark, e.g. a comma. Then continue.", "Use a mark, e.g. a comma."),
        ("The name (i.e. os.path) is used. More.", "The name (i.e. os.path) is used."),
        ("Needs Python 3.11 or os.path.join. More.", "Needs Python 3.11 or os.path.join."),
        ("Join names, inserting '/' as needed. If any is absolute, stop.", "Join names, inserting '/' as needed."),
        ("Split at '.' and at '!' only. Nowhere else.", "Split at '.' and at '!' only."),
        ("Return lists, tuples, etc. Nothing else.", "Return lists, tuples, etc."),
        ("Take lists, tuples, etc. as they are. Yes.", "Take lists, tuples, etc. as they are."),
        ("Values 1, 2, ... are kept. More.", "Values 1, 2, ... are kept."),
        ("Is it so? It is.", "Is it so?"),
        ("Stop! Now.", "Stop!"),
        ('Say "no." Then go.', 'Say "no."'),
        ("J. Smith met George W. Bush in 1999. More.", "J. Smith met George W. Bush in 1999."),
        ("Return the logarithm of X. The base is e.", "Return the logarithm of X."),
        ("Remove it (see below. It matters) at once. Yes.", "Remove it (see below. It matters) at once."),
        ("An open ( bracket. That never closes.", "An open ( bracket."),
        ("See No. 5 of the list. More.", "See No. 5 of the list."),
        ("Is this a yes or no. Who knows.", "Is this a yes or no."),
        ("Faster vs. slower. More.", "Faster vs. slower."),
        ("Return `x.` when asked. More.", "Return `x.` when asked."),
        ("", ""),
    ],
)
def test_known_sentences(paragraph: str, sentence: str) -> None:
    assert first_sentence(paragraph) == sentence


@given(st.text(alphabet="ab .!?()[]'\"e.g\nA1", max_size=80))
def test_a_sentence_is_how_the_squeezed_paragraph_begins(text: str) -> None:
    squeezed = " ".join(text.split())
    sentence = first_sentence(text)
    assert squeezed.startswith(sentence)
    assert bool(sentence) == bool(squeezed)
