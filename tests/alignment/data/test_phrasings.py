"""The grammar asks in thousands of ways, none of which is a phrasing of another set; what it draws follows from the
seed; and a question names its subject in one of the ways that people write it."""

import random
import re
import string
from itertools import combinations

import pytest

from groundup.alignment.data.disguise import CARELESS, SUBJECT, Carelessness, NameForms, disguised
from groundup.alignment.data.grammar import PhrasingGrammar
from groundup.alignment.data.handwritten import EVALUATE, TUNE
from groundup.alignment.data.phrasings import GRAMMARS, SFT_FRAMES, SUMMARY
from groundup.alignment.data.questions import HANDWRITTEN, PLAIN, Item

ASPECTS = tuple(GRAMMARS)
CAREFUL = Carelessness(0, 0, 0, 0, 0, 0, 0, 0, 0)


NO_LETTERS = str.maketrans("", "", string.punctuation + string.whitespace)


def squeezed(sentence: str) -> str:
    """A sentence but for case, punctuation and white space."""
    return sentence.lower().translate(NO_LETTERS)


@pytest.fixture(scope="module")
def sets() -> dict[str, set[str]]:
    """Every sentence of each set, squeezed."""
    found: dict[str, set[str]] = {name: set() for name in ("sft", "rl", *HANDWRITTEN)}
    for aspect in ASPECTS:
        for name, grammar in GRAMMARS[aspect].items():
            found[name] |= set(map(squeezed, grammar.sentences()))
        for name, written in HANDWRITTEN.items():
            found[name] |= set(map(squeezed, written[aspect]))
    return found


def test_no_two_sets_share_a_phrasing(sets: dict[str, set[str]]) -> None:
    """Not but for case and punctuation, and not between aspects either."""
    for one, other in combinations(sets, 2):
        assert not sets[one] & sets[other], (one, other)


def test_there_are_thousands_of_ways(sets: dict[str, set[str]]) -> None:
    assert len(sets["sft"]) > 100_000
    assert len(sets["rl"]) > 1_000
    for aspect in ("summary", "section"):
        assert min(len(TUNE[aspect]), len(EVALUATE[aspect])) >= 10
        assert squeezed(PLAIN[aspect]) in sets["sft"]


@pytest.mark.parametrize("aspect", ASPECTS)
def test_every_sentence_has_its_subject_once(aspect: str) -> None:
    for grammar in GRAMMARS[aspect].values():
        for sentence in grammar.sentences():
            assert sentence.count(SUBJECT) == 1 and sentence.count("{") == 1, sentence
            assert "  " not in sentence and sentence == sentence.strip()
    for written in (TUNE, EVALUATE):
        assert all(sentence.count(SUBJECT) == 1 for sentence in written[aspect])
        assert len(set(written[aspect])) == len(written[aspect])


def test_what_is_drawn_is_a_sentence_of_the_grammar() -> None:
    """And all forms, openings and endings come."""
    sentences, rng = set(SUMMARY.sentences()), random.Random(0)
    drawn = [SUMMARY.draw(rng) for _ in range(4_000)]
    assert set(drawn) <= sentences
    text = "\n".join(drawn).lower()
    for part in (*SFT_FRAMES.openings, *SFT_FRAMES.endings, *SUMMARY.scene, *SUMMARY.about_it, *SUMMARY.bare):
        assert part.lower() in text, part
    assert len(set(drawn)) > 0.6 * len(drawn)


ITEM = Item("os.path.join", "summary", "Join two or more pathname components.", "d", short="join")


def test_a_question_follows_from_seed_and_turn_alone() -> None:
    asked = [ITEM.question("sft", turn, seed=3) for turn in range(200)]
    assert asked == [ITEM.question("sft", turn, seed=3) for turn in range(200)]
    assert asked[::-1] == [ITEM.question("sft", turn, seed=3) for turn in reversed(range(200))]  # in any order
    other = [ITEM.question("sft", turn, seed=4) for turn in range(200)]
    assert len(set(asked) & set(other)) < 60
    assert len(set(asked)) > 150


def test_the_subject_is_named_in_every_question() -> None:
    """In full, in marks, or by its last part; with nothing of it changed by a typo or by case."""
    seen = set()
    for turn in range(600):
        question = ITEM.question("sft", turn)
        found = re.search(r"[`'\"]?(?:os\.path\.)?join(?:\(\))?[`'\"]?", question)
        assert found is not None, question
        seen.add(found.group())
    forms = {"os.path.join", "`os.path.join`", "os.path.join()", "'os.path.join'", '"os.path.join"', "join"}
    assert forms <= seen


def test_braces_in_a_subject_are_text() -> None:
    item = Item("a {b} %s {0} {subject} {}", "section", "An answer.", "d")
    for name in ("sft", "rl", "tune", "evaluate"):
        assert all("a {b} %s {0} {subject} {}" in question for question in item.questions(name))  # type: ignore[arg-type]


def test_the_disguise_changes_manners_and_not_the_subject() -> None:
    name, sentence = NameForms("os.Path"), "Please tell me what {subject} does."
    assert disguised(sentence, name, random.Random(0), CAREFUL) == "Please tell me what os.Path does."
    every = {disguised(sentence, name, random.Random(seed), CARELESS) for seed in range(300)}
    assert len(every) > 20
    assert all("os.Path" in one for one in every)
    assert "please tell me what os.Path does" in every
    assert "PLEASE TELL ME WHAT os.Path DOES." in every


def test_an_ending_becomes_part_of_the_sentence() -> None:
    from groundup.alignment.data.grammar import Frames

    frames = Frames(("Hi,",), ("exactly", ", please", "Thanks!"), (), (), (), plain=0.5)
    grammar = PhrasingGrammar(frames, question=("what does {subject} do",))
    assert set(grammar.sentences()) == {
        f"{opening}{mark}"
        for opening in ("What does {subject} do", "Hi, what does {subject} do")
        for mark in ("?", " exactly?", ", please?", "? Thanks!")
    }
