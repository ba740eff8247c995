"""Pairs are what they say: never equal, one split per subject, and wrong in the way that their kind names."""

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from groundup.alignment.data.pairs import KINDS, Pair, make_pairs, read_pairs, split_given, write_pairs
from groundup.alignment.data.questions import Item
from groundup.alignment.data.records import AnswerPair, task_of

words = st.lists(
    st.sampled_from(["join", "two", "or", "more", "path", "components", "given", "as", "strings"]),
    min_size=1,
    max_size=8,
)
main_items = st.lists(
    st.builds(
        lambda module, name, answer, document: Item(f"{module}.{name}", "summary", " ".join(answer), document),
        st.sampled_from(["os", "os.path", "json"]),
        st.text("abcdef", min_size=1, max_size=3),
        words,
        st.sampled_from(["d1", "d2", "d3"]),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda item: item.subject,
)
other_items = st.lists(
    st.builds(
        lambda name, answer: Item(name, "parameters", answer, "d1"), st.text("xyz"), st.text("abc, ", min_size=1)
    ),
    max_size=4,
)


@given(main_items, other_items, st.integers(1, 8), st.floats(0.01, 0.99), st.integers(0, 5))
def test_made_pairs(items: list[Item], others: list[Item], per_item: int, heldout: float, seed: int) -> None:
    elsewhere = others or items
    pairs = make_pairs(items, elsewhere, per_item, heldout, seed)
    assert pairs == make_pairs(items, elsewhere, per_item, heldout, seed)
    by_subject = {item.subject: item for item in items}
    asked = {question for item in items for question in item.questions("sft") + item.questions("rl")}
    splits: dict[str, set[str]] = {}
    for pair in pairs:
        item = by_subject[pair.subject]
        assert pair.question in asked and pair.question in item.questions("sft") + item.questions("rl")
        assert pair.chosen == item.answer != pair.rejected
        splits.setdefault(pair.subject, set()).add(pair.split)
        if pair.kind == "other":
            assert pair.rejected in {one.answer for one in items if one.subject != pair.subject}
        elif pair.kind == "truncated":
            assert pair.chosen.startswith(pair.rejected + " ")
        elif pair.kind == "repeated":
            again = pair.rejected.removeprefix(pair.chosen + " ")
            assert f"{pair.chosen} ".startswith(f"{again} ")
        else:
            assert pair.kind == "off_topic"
            said_by = [one for one in elsewhere if one.answer == pair.rejected]
            assert any(one.aspect != item.aspect or one.document != item.document for one in said_by)
    assert all(len(split) == 1 for split in splits.values())
    most = Counter(pair.subject for pair in pairs)
    assert all(count <= per_item for count in most.values())
    made_for = {subject for subject, split in splits.items() if split == {"train"}}
    if len(items) > 1 and splits.keys() == by_subject.keys():
        assert made_for and made_for != by_subject.keys()  # something to learn from, and something to measure on


def test_all_kinds_come_up_evenly() -> None:
    answers = [f"Return the {word} of a given path as a string" for word in "abcdefgh"]
    items = [Item(f"m.{index}", "summary", answer, "d") for index, answer in enumerate(answers)]
    parameters = [Item("m.0", "parameters", "a, *p", "d")]
    pairs = make_pairs(items, parameters, 4, 0.25, seed=1)
    assert Counter(pair.kind for pair in pairs) == dict.fromkeys(KINDS, 8)
    assert Counter(pair.split for pair in pairs) == {"train": 24, "heldout": 8}
    assert {pair.rejected for pair in pairs if pair.kind == "off_topic"} == {"a, *p"}


def test_neighbours_are_compared_more_often_than_chance() -> None:
    items = [Item(f"{m}.{n}", "summary", f"Does {m} and {n}", "d") for m in "abcdefghij" for n in "uvwxy"]
    others = [pair for pair in make_pairs(items, items, 4, 0.1, seed=0) if pair.kind == "other"]
    module_of = {item.answer: item.subject[0] for item in items}
    near = sum(module_of[pair.rejected] == pair.subject[0] for pair in others) / len(others)
    assert 0.35 < near < 0.75  # every second time; by chance 4 in 49


def test_a_single_subject_is_trained_on() -> None:
    pairs = make_pairs([Item("a", "section", "One two three four", "d")], [], 4, 0.5, seed=0)
    assert {(pair.kind, pair.split) for pair in pairs} == {("truncated", "train"), ("repeated", "train")}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.text(), st.text()), min_size=1), st.floats(0.01, 0.99))
def test_given_pairs(rows: list[tuple[str, str, str]], heldout: float) -> None:
    pairs = split_given([AnswerPair(task_of(prompt).prompt, *answers) for prompt, *answers in rows], heldout, seed=3)
    assert [(pair.question, pair.chosen, pair.rejected) for pair in pairs] == rows
    split_of = {(pair.question, pair.split) for pair in pairs}
    assert len(split_of) == len({prompt for prompt, _, _ in rows})
    assert {pair.kind for pair in pairs} == {"given"}
    splits = {split for _, split in split_of}
    assert splits == ({"train", "heldout"} if len(split_of) > 1 else {"train"})


def test_files_keep_pairs(tmp_path: Path) -> None:
    pairs = [
        Pair("Größe?", "ja\u2028nein", 'a"b\\', "other", "s", "train"),
        Pair("q\n", "c", "r", "given", "t", "heldout"),
        Pair("q", "", "r", "given", "t", "train", ({"role": "system", "content": "S"},), 4),
    ]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert list(read_pairs(tmp_path / "pairs.jsonl", "train")) == [pairs[0], pairs[2]]
    assert list(read_pairs(tmp_path / "pairs.jsonl", "heldout")) == [pairs[1]]


def test_pairs_leave_the_phrasings_of_evaluation_alone() -> None:
    items = [Item(f"m.{n}", "summary", f"Answer number {n} it is", "d") for n in range(9)]
    asked = {pair.question for pair in make_pairs(items, items, 8, 0.2, seed=0)}
    assert asked
    assert not asked & {question for item in items for question in item.questions("evaluate")}
