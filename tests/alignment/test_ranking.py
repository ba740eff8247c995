"""What is compared, kept and decided when people rank answers."""

import json

import pytest

import tiny
from groundup.alignment.ranking.agreement import agreement, cohen, fleiss
from groundup.alignment.ranking.candidates import digest_of, read_prompts, sample_items
from groundup.alignment.ranking.decided import write_comparisons
from groundup.alignment.ranking.journal import (
    Judgement,
    RankingItem,
    RankingJournal,
    RankingSession,
    SampledAnswer,
    Undo,
)
from groundup.errors import GroundupError
from groundup.inference.loading import LoadedModel
from groundup.tokenizer.tokenizer import Tokenizer


def session(**changed):
    given = {"models": ("a", "b"), "prompts": "0", "answers": 2, "max_tokens": 6, "temperature": 1.0, "seed": 0}
    return RankingSession(**given | changed)


def item(number, count=2):
    answers = tuple(SampledAnswer(text=f"{number}.{index}", model="ab"[index % 2]) for index in range(count))
    return RankingItem(id=number, prompt=({"role": "user", "content": f"q{number}"},), answers=answers)


def test_kappa_of_published_examples():
    """Cohen: 50 grant proposals (0.4). Fleiss 1971: 10 subjects, 14 raters, 5 categories (0.210)."""
    both = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen(*zip(*both, strict=True)) == pytest.approx(0.4)
    table = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    rows = [[category for category, count in enumerate(row) for _ in range(count)] for row in table]
    assert fleiss(rows) == pytest.approx(0.210, abs=5e-4)


def test_agreement_counts_what_two_have_judged():
    """Percent of pairs of raters; chance agreement has kappa 0; one rater, or nothing shared, has none."""
    assert agreement({"a": {1: "x", 2: "y"}, "b": {3: "x"}}) is None
    chance = agreement({"a": dict(enumerate("xxyy")), "b": dict(enumerate("xyxy")) | {9: "x"}})
    assert (chance.raters, chance.compared, chance.percent, chance.kappa) == (2, 4, 50.0, 0.0)
    assert agreement({"a": {1: "x"}, "b": {1: "x"}}).kappa is None


def test_journal_keeps_what_counts(tmp_path):
    """Undone and replaced judgements don't; a line that a kill cut off is dropped, and the next one is whole."""
    path = tmp_path / "j"
    journal = RankingJournal.create(path, session(), [item(0), item(1)])
    journal.write(Judgement(item=0, rater="ada", tiers=((0,), (1,))))
    journal.write(Judgement(item=1, rater="ada", tiers=()))
    journal.write(Undo(item=1, rater="ada"))
    with path.open("a") as file:
        file.write('{"kind": "judgement", "item": 1, "ra')
    again = RankingJournal(path)
    assert [one.item for one in again.of("ada")] == [0]
    again.write(Judgement(item=1, rater="ada", tiers=((1,), (0,))))
    journal.refresh()  # the first one reads on where it was
    assert [one.tiers for one in journal.of("ada")] == [((0,), (1,)), ((1,), (0,))]
    assert path.read_text().count("\n") == 7


def test_two_raters_write_at_once(tmp_path):
    """Each has the journal open; neither overwrites the other's lines."""
    path = tmp_path / "j"
    RankingJournal.create(path, session(), [item(number) for number in range(3)])
    ada, bob = RankingJournal(path), RankingJournal(path)
    for number in range(3):
        for rater, own in (("ada", ada), ("bob", bob)):
            own.write(Judgement(item=number, rater=rater, tiers=((0,), (1,))))
    ada.refresh()
    assert ada.judgements == bob.judgements and len(ada.judgements) == 6


@pytest.mark.parametrize(
    "line", ["no JSON", '{"kind": "other"}', '{"kind": "judgement", "item": 5, "rater": "a", "tiers": [[0]]}', "{}"]
)
def test_damaged_journal_names_its_line(tmp_path, line):
    path = tmp_path / "j"
    RankingJournal.create(path, session(), [item(0)])
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(GroundupError, match=rf"{path}:3: is no journal of a ranking .*name another --out"):
        RankingJournal(path)


def test_rows_of_pairs_lists_and_ties(tmp_path):
    """Skipped items have no row; a prompt of several messages stays one."""
    long = RankingItem(
        id=2, prompt=({"role": "system", "content": "s"}, {"role": "user", "content": "q"}), answers=item(2).answers
    )
    journal = RankingJournal.create(tmp_path / "j", session(answers=3), [item(0), item(1, 3), long, item(3)])
    for number, tiers in enumerate([((1,), (0,)), ((2,), (0, 1)), ((0, 1),), ()]):
        journal.write(Judgement(item=number, rater="ada", tiers=tiers))
    assert write_comparisons(tmp_path / "out", journal) == 3
    rows = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert rows[0] == {"prompt": "q0", "chosen": "0.1", "rejected": "0.0", "rater": "ada", "models": ["b", "a"]}
    assert rows[1]["ranked"] == ["1.2", ["1.0", "1.1"]] and rows[1]["models"] == ["a", ["a", "b"]]
    assert rows[2]["ranked"] == [["2.0", "2.1"]] and [one["role"] for one in rows[2]["prompt"]] == ["system", "user"]


def test_prompts_of_text_and_data_files(tmp_path):
    text, lines = tmp_path / "p.txt", tmp_path / "p.jsonl"
    text.write_text("What?\n\nWhy?\nWhat?\n")
    lines.write_text('{"prompt": "What?"}\n{"messages": [{"role": "user", "content": "Why?"}]}\n')
    assert [prompt[0]["content"] for prompt in read_prompts(text)] == ["What?", "Why?"]
    assert digest_of(read_prompts(text)) == digest_of(read_prompts(lines))
    with pytest.raises(GroundupError, match="holds no prompt"):
        (tmp_path / "empty.txt").write_text("\n")
        read_prompts(tmp_path / "empty.txt")


def test_sampled_answers_differ_and_models_take_turns():
    """Two untrained models: each gives half of the answers, in an order that hides which."""
    tokenizer = Tokenizer.train(["one two three four"], vocabulary=270)

    def loaded(seed):
        model = tiny.model(seed, vocab_size=tokenizer.vocabulary_size).eval()
        return LoadedModel("m", model, tokenizer, frozenset({tokenizer.end}))

    prompts = [({"role": "user", "content": f"question {number}"},) for number in range(8)]
    models = [("a", lambda: loaded(1)), ("b", lambda: loaded(2))]
    found = sample_items(models, prompts, session(answers=4))
    assert len(found) == 8 and all(len({one.text for one in item.answers}) == 4 for item in found)
    assert all(sorted(one.model for one in item.answers) == ["a", "a", "b", "b"] for item in found)
    assert len({tuple(one.model for one in item.answers) for item in found}) > 2
    assert sample_items(models, prompts, session(answers=4)) == found
