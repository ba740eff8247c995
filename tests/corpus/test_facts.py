"""A fact is a subject in the text and the first sentence about it."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.clean import clean
from groundup.corpus.documents import Fact
from groundup.corpus.facts import first_heading, plain, section_facts

GUIDE = """\
A word before any heading. And more.

# Cats

Cats are *small*. They purr.

## Food ##
They eat [fish](http://fish.example), e.g. herring. Not grass.

## List

- no paragraph

## Code

```
# not a heading
x = 1
```

Under a line
------------

Set apart by a rule. Yes.

# Cats

Said a second time. Yes.
"""


def test_sections() -> None:
    assert section_facts(GUIDE, "The guide") == (
        Fact("The guide", "section", "A word before any heading."),
        Fact("Cats", "section", "Cats are *small*."),
        Fact("Food", "section", "They eat fish, e.g. herring."),
        Fact("Under a line", "section", "Set apart by a rule."),
    )
    assert first_heading(GUIDE) == "Cats"


def test_text_before_any_heading_needs_a_title() -> None:
    assert section_facts("Plain text. More.", "") == ()
    assert section_facts("Plain text. More.", "notes") == (Fact("notes", "section", "Plain text."),)


def test_plain() -> None:
    assert plain("**Bold** ![x](y) and [a *b*][1]\n`__init__` 2 ** 3") == "Bold and a *b* `__init__` 2 ** 3"


@given(st.text(alphabet="ab.# -=\n`*[]()", max_size=120))
def test_answers_are_one_line_and_subjects_are_unique(text: str) -> None:
    facts = section_facts(clean(text), "title")
    assert all(fact.subject and fact.answer and "\n" not in fact.subject + fact.answer for fact in facts)
    assert len({fact.subject for fact in facts}) == len(facts)
