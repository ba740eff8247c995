"""Each blueprint has the stages that it needs and no others, every input is made by one of them, and what can't be made
is refused with the key to write."""

import json
from pathlib import Path

import pytest

import tiny
from groundup.blueprint.load import load
from groundup.blueprint.problems import BlueprintError
from groundup.model.weights import save_model
from groundup.pipeline.graph import stages
from groundup.planning.estimate import plan

DOCUMENTS = "curate: {sources: [{kind: files, path: pages}]}\n"
START = "start: {model: run, stage: sft, first: FIRST}\n"
ROWS = {
    "pairs.jsonl": {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"},
    "tasks.jsonl": {"prompt": "1 + 1?", "answer": "2"},
    "chats.jsonl": {"instruction": "1 + 1?", "output": "2"},
}
LAST = "evaluate export report"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A finished run with a model, and data of each kind."""
    for name, row in ROWS.items():
        (tmp_path / name).write_text(f"{json.dumps(row)}\n" * 8, encoding="utf-8")
    run = tmp_path / "run"
    (run / "artifacts" / "tokenizer-1").mkdir(parents=True)
    tiny.tokenizer().save(run / "artifacts" / "tokenizer-1" / "tokenizer.json")
    save_model(run / "artifacts" / "sft-1" / "model", tiny.model(vocab_size=tiny.tokenizer().vocabulary_size))
    made = {"stages": {"tokenizer": "tokenizer-1", "sft": "sft-1"}}
    (run / "run.json").write_text(json.dumps(made), encoding="utf-8")
    return tmp_path


def loaded(base: Path, text: str):  # type: ignore[no-untyped-def]
    (base / "b.yaml").write_text(text + "pretrain: {batch_tokens: 512, sequence: 32}\n", encoding="utf-8")
    return load(base / "b.yaml").blueprint


SHORT = "evaluate: {max_answer_tokens: 8}\nppo: {max_answer_tokens: 8}\ngrpo: {max_answer_tokens: 8}\n"
GRAPHS = [
    (DOCUMENTS, "curate tokenizer tokens pretrain sft reward ppo"),
    (DOCUMENTS + "align: none\n", "curate tokenizer tokens pretrain sft"),
    (DOCUMENTS + "align: dpo\n", "curate tokenizer tokens pretrain sft dpo"),
    (DOCUMENTS + "align: dpo\ndpo: {loss: ipo, data: pairs.jsonl}\n", "curate tokenizer tokens pretrain sft dpo"),
    (DOCUMENTS + "align: dpo\ndpo: {own: {answers: 4}}\n", "curate tokenizer tokens pretrain sft reward dpo"),
    (DOCUMENTS + "align: grpo\n", "curate tokenizer tokens pretrain sft reward grpo"),
    (DOCUMENTS + "align: grpo\nGRPO", "curate tokenizer tokens pretrain sft grpo"),
    (START.replace("FIRST", "pretrain") + DOCUMENTS, "curate start tokenizer tokens pretrain sft reward ppo"),
    (START.replace("FIRST", "sft") + DOCUMENTS, "curate start tokenizer tokens sft reward ppo"),
    (START.replace("FIRST", "sft") + "sft: {data: chats.jsonl}\nalign: none\n", "start sft"),
    (START.replace("FIRST", "align") + "reward: {data: pairs.jsonl}\n", "start reward ppo"),
    (START.replace("FIRST", "align") + "align: dpo\ndpo: {data: pairs.jsonl}\n", "start dpo"),
    (START.replace("FIRST", "align") + "align: dpo\nreward: {data: pairs.jsonl}\n", "start dpo"),
    (START.replace("FIRST", "align") + "align: grpo\nGRPO", "start grpo"),
    (START.replace("FIRST", "align") + DOCUMENTS + "align: grpo\nGRPO", "curate start tokenizer tokens grpo"),
]


@pytest.mark.parametrize(("text", "expected"), GRAPHS)
def test_the_stages_that_a_blueprint_needs(text: str, expected: str, base: Path) -> None:
    own = SHORT.replace("grpo: {", "grpo: {data: tasks.jsonl, ") if "GRPO" in text else SHORT
    blueprint = loaded(base, text.replace("GRPO", "") + own)
    graph = stages(blueprint)
    names = [stage.name for stage in graph]
    assert names == f"{expected} {LAST}".split()
    for index, stage in enumerate(graph):
        assert set(stage.inputs) <= set(names[:index]), stage.name
        if stage.name in ("sft", "reward", "ppo", "dpo", "grpo", "export"):
            assert {"tokenizer", "start"} & set(stage.inputs)
    assert [stage.stage for stage in plan(blueprint).stages] == names


def test_dpo_takes_the_pairs_of_the_reward_section_where_it_names_none(base: Path) -> None:
    def section(text: str):  # type: ignore[no-untyped-def]
        blueprint = loaded(base, DOCUMENTS + "align: dpo\n" + text)
        return next(stage for stage in stages(blueprint) if stage.name == "dpo").configuration(blueprint)

    found = section("reward: {data: pairs.jsonl, pairs_per_subject: 3, heldout: 0.4}\n")
    assert (found.data, found.pairs_per_subject, found.heldout) == (Path("pairs.jsonl"), 3, 0.4)
    found = section("reward: {pairs_per_subject: 3}\ndpo: {data: tasks.jsonl, pairs_per_subject: 2}\n")
    assert (found.data, found.pairs_per_subject, found.heldout) == (Path("tasks.jsonl"), 2, 0.1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\n", "b.yaml:1:1: curate.sources: no document is named, and pretraining reads them"),
        (START.replace("FIRST", "sft"), "b.yaml:1:1: curate.sources: no document is named, and questions are made"),
        (START.replace("FIRST", "align"), "b.yaml:1:1: reward.data: is missing: without fine-tuning no pairs are made"),
        (START.replace("FIRST", "align") + "align: dpo\ndpo: {beta: .2}\n", "b.yaml:3:6: dpo.data: is missing"),
        (START.replace("FIRST", "align") + "align: grpo\n", "reward.data: is missing"),
        (START.replace("FIRST", "align") + "align: none\n", "b.yaml:2:8: align: nothing is left to do"),
    ],
)
def test_what_cannot_be_made_is_refused(text: str, expected: str, base: Path) -> None:
    with pytest.raises(BlueprintError) as caught:
        loaded(base, text + SHORT)
    assert expected in str(caught.value)
