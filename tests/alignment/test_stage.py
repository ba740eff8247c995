"""The stages on tiny inputs: what they leave for the next one, that it comes out the same again, what they refuse."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from groundup.alignment.configuration import DpoConfig, GrpoConfig, PpoConfig, RewardConfig, SftConfig
from groundup.alignment.data.examples import answer_ids, ask
from groundup.alignment.data.pairs import Pair, read_pairs
from groundup.alignment.data.questions import Item, read_items
from groundup.alignment.reward import load_reward_model, score_pairs
from groundup.alignment.sft import fits
from groundup.alignment.stage_tasks import taught_tasks
from groundup.alignment.training import encode_pair
from groundup.artifacts import Artifact, Work
from groundup.corpus.documents import Document, Fact, write_documents
from groundup.errors import GroundupError
from groundup.lazy import load
from groundup.model.adapter_files import load_adapter
from groundup.model.lora_config import LoraConfig
from groundup.model.weights import load_model, named_weights, save_model
from groundup.pipeline.graph import METHODS

TOKENIZER = tiny.tokenizer()
NAMES = ["abs", "os.path.join", "os.path.split", "json.dumps", "json.loads", "shutil.copy"]


def documents(path: Path) -> None:
    made = [
        Document(
            id=f"d{index}",
            text=name,
            split="train",
            facts=(Fact(name, "summary", f"Do what {name} is there to do."), Fact(name, "parameters", f"a, b{index}")),
        )
        for index, name in enumerate(NAMES)
    ]
    write_documents(path, [*made, Document(id="h", split="heldout", facts=(Fact("secret", "summary", "Hidden."),))])


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Documents, a tokenizer and a pretrained model."""
    root = tmp_path_factory.mktemp("run")
    for name in ("curate", "tokenizer", "pretrain"):
        (root / name).mkdir()
    documents(root / "curate" / "documents")
    TOKENIZER.save(root / "tokenizer" / "tokenizer.json")
    made = tiny.model(spread=0.05, vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=160)
    save_model(root / "pretrain" / "model", made)
    return {
        name: tiny.artifact(root / name, name, {"precision": "fp32"}) for name in ("curate", "tokenizer", "pretrain")
    }


def run(name: str, config: Any, inputs: Mapping[str, Artifact], root: Path, base: Path | None = None) -> Artifact:
    out, keep = root / name, root / f"{name}.keep"
    out.mkdir(parents=True)
    keep.mkdir(exist_ok=True)
    figures = load(FUNCTIONS[name])(config, inputs, Work(out, keep, seed=1, base=base or root))
    return tiny.artifact(out, name, json.loads(json.dumps(figures, allow_nan=False)))


FUNCTIONS = {"sft": "groundup.alignment.sft:stage", "reward": "groundup.alignment.reward:stage", **METHODS}
FAST = {"learning_rate": 1e-3}
SFT = SftConfig(epochs=2, batch_examples=4, other_questions=0.5, **FAST)
REWARD = RewardConfig(pairs_per_subject=4, batch_pairs=4, heldout=0.3, **FAST)
PPO = PpoConfig(iterations=2, rollouts=6, minibatch=3, max_answer_tokens=6, **FAST)


@pytest.fixture(scope="module")
def road(start: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return all_stages(start, tmp_path_factory.mktemp("road"))


def all_stages(start: dict[str, Artifact], root: Path) -> dict[str, Artifact]:
    made = dict(start)
    made["sft"] = run("sft", SFT, made, root)
    made["reward"] = run("reward", REWARD, made, root)
    made["ppo"] = run("ppo", PPO, made, root)
    made["dpo"] = run("dpo", DpoConfig(batch_pairs=4, **FAST), made, root)
    return made


def test_kto_on_labels_without_pairs(road: dict[str, Artifact], tmp_path: Path) -> None:
    """Every prompt has one answer, good or bad; the artifact says what was trained on and what measured."""
    rows = [{"prompt": f"q{n}", "completion": f"answer {n}", "label": n % 3 > 0} for n in range(12)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = DpoConfig(loss="kto", data=Path("labels.jsonl"), heldout=0.25, batch_pairs=2, epochs=2, **FAST)
    made = run("dpo", config, road, tmp_path / "out", tmp_path)
    figures, kept = made.figures, [json.loads(line) for line in made.file("labels.jsonl").read_text().splitlines()]
    assert (figures["answers"], figures["heldout_answers"], figures["steps"]) == (9, 3, 5)
    assert figures["good_answers"] == sum(row["label"] for row in kept if row["split"] == "train")
    assert [(row["answer"], row["label"]) for row in kept] == [(row["completion"], row["label"]) for row in rows]
    assert 0 <= figures["heldout_accuracy"] <= 1 and "9 labelled answers" in figures["summary"]


@pytest.mark.parametrize("loss", ["sigmoid", "imitate"])
def test_dpo_on_own_answers(road: dict[str, Artifact], tmp_path: Path, loss: str) -> None:
    """The reward model picks the best and the worst of the SFT model's own answers; held-out subjects only measure."""
    own = {"answers": 3, "temperature": 1.0, "max_answer_tokens": 8}
    config = DpoConfig(own=own, loss=loss, pairs_per_subject=2, heldout=0.3, batch_pairs=4, **FAST)
    made = run("dpo", config, road, tmp_path)
    figures = made.figures
    train, heldout = (list(read_pairs(made.file("pairs.jsonl"), split)) for split in ("train", "heldout"))
    assert (figures["pairs"], figures["heldout_pairs"]) == (len(train), len(heldout))
    assert figures["answers"] == 6 * 2 * 3 and figures["questions"] == 12
    assert len(train) + len(heldout) == 12 - figures["questions_alike"]
    assert heldout and not {pair.subject for pair in train} & {pair.subject for pair in heldout}


def test_what_was_taught(road: dict[str, Artifact]) -> None:
    items = read_items(road["sft"].file("items.jsonl"))
    assert sorted(item.subject for item in items if item.aspect == "summary") == sorted(NAMES)
    assert not [item for item in items if "secret" in item.subject]  # a held-out document teaches nothing
    figures = road["sft"].figures
    assert figures["subjects"] == 6
    assert figures["questions"] == 6 + 6  # the summaries, and half of six parameters and six "which"
    assert figures["steps"] == 6
    assert figures["turns"] == 1


def test_pairs_measure_on_subjects_that_were_not_compared(road: dict[str, Artifact]) -> None:
    train, heldout = (list(read_pairs(road["reward"].file("pairs.jsonl"), split)) for split in ("train", "heldout"))
    assert {pair.subject for pair in train} | {pair.subject for pair in heldout} == set(NAMES)
    assert not {pair.subject for pair in train} & {pair.subject for pair in heldout}
    figures = road["reward"].figures
    assert (figures["pairs"], figures["heldout_pairs"]) == (len(train), len(heldout))
    assert sum(kind["pairs"] for kind in figures["by_kind"].values()) == len(heldout)
    right = sum(kind["pairs"] * kind["accuracy"] for kind in figures["by_kind"].values())
    assert right / len(heldout) == pytest.approx(figures["heldout_accuracy"])


def test_scores_are_scaled_to_the_right_answers(road: dict[str, Artifact]) -> None:
    """Mean 0 over the chosen answers of the training pairs, deviation 1 over all."""
    model, scale = load_reward_model(road["reward"].path / "model")
    pairs = [encode_pair(pair, TOKENIZER, 160) for pair in read_pairs(road["reward"].file("pairs.jsonl"), "train")]
    chosen, rejected = score_pairs(tiny.engine(model), pairs, TOKENIZER.pad)
    assert scale.mean == pytest.approx(float(chosen.mean()), abs=1e-4)
    assert scale.deviation == pytest.approx(float(torch.cat((chosen, rejected)).std()), abs=1e-4)


@pytest.mark.parametrize("name", ["sft", "ppo", "dpo"])
def test_the_model_has_moved_from_the_one_before(name: str, road: dict[str, Artifact]) -> None:
    before = load_model(road["pretrain" if name == "sft" else "sft"].path / "model")
    after = load_model(road[name].path / "model")
    moved = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert all(moved)
    assert named_weights(before).keys() == named_weights(after).keys()


def test_adapters_are_trained_and_merged_in_every_stage(start: dict[str, Artifact], tmp_path: Path) -> None:
    """Each stage leaves a whole model for the next one, and its adapters for PEFT."""
    lora, made = LoraConfig(rank=2), dict(start)
    for name, config in (("sft", SFT), ("reward", REWARD), ("ppo", PPO), ("dpo", DpoConfig(batch_pairs=4, **FAST))):
        made[name] = run(name, config.model_copy(update={"lora": lora}), made, tmp_path)
    for name, before in (("sft", "pretrain"), ("ppo", "sft"), ("dpo", "sft")):
        base = load_model(made[before].path / "model")
        after = named_weights(load_model(made[name].path / "model"))
        moved = {key for key, weight in named_weights(base).items() if not torch.equal(weight, after[key])}
        assert moved == {key for key in after if key.endswith("_proj.weight")}, name
        load_adapter(base, made[name].path / "adapter")
        assert all(torch.allclose(weight, after[key], atol=1e-6) for key, weight in named_weights(base).items())
    assert load_reward_model(made["reward"].path / "model")[0].score.weight.abs().max() > 0
    assert made["ppo"].figures["kl"] != 0  # as it would be against a reference whose adapters are on


def test_a_critic_on_the_policy_leaves_a_language_model(road: dict[str, Artifact], tmp_path: Path) -> None:
    made = run("ppo", PPO.model_copy(update={"critic": "trunk"}), road, tmp_path)
    before, after = load_model(road["sft"].path / "model"), load_model(made.path / "model")
    assert not torch.equal(before.lm_head.weight, after.lm_head.weight)
    assert "explained_variance" in made.figures


def test_the_same_inputs_give_the_same_files(
    start: dict[str, Artifact], road: dict[str, Artifact], tmp_path: Path
) -> None:
    again = all_stages(start, tmp_path)
    for name in ("sft", "reward", "ppo", "dpo"):
        assert again[name].manifest.content == road[name].manifest.content, name
        assert {k: v for k, v in again[name].figures.items() if "second" not in k} == {
            k: v for k, v in road[name].figures.items() if "second" not in k
        }


def lines(path: Path, *rows: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_files_of_one_s_own(start: dict[str, Artifact], tmp_path: Path) -> None:
    """Relative to the blueprint's folder; PPO then asks the questions of the pairs."""
    lines(tmp_path / "sft.jsonl", *({"prompt": f"Q{n}?", "answer": f"A{n}."} for n in range(6)))
    lines(tmp_path / "pairs.jsonl", *({"prompt": f"Q{n}?", "chosen": "Yes.", "rejected": "No."} for n in range(6)))
    made = dict(start)
    made["sft"] = run("sft", SFT.model_copy(update={"data": Path("sft.jsonl")}), made, tmp_path / "run", tmp_path)
    made["reward"] = run(
        "reward", REWARD.model_copy(update={"data": Path("pairs.jsonl")}), made, tmp_path / "run", tmp_path
    )
    made["ppo"] = run("ppo", PPO, made, tmp_path / "run")
    assert not made["sft"].figures["made_from_documents"]
    assert made["sft"].figures["questions"] == 6
    assert not made["reward"].figures["made_from_documents"]
    assert made["reward"].figures["by_kind"].keys() == {"given"}
    assert made["ppo"].figures["prompts"] == made["reward"].figures["pairs"] == 4


def test_what_was_recognised_and_cut_is_in_the_figures(start: dict[str, Artifact], tmp_path: Path) -> None:
    """And the policy is asked with the system message that the pairs have."""
    system = {"role": "system", "content": "Be brief."}
    talk = [{"role": role, "content": text} for role, text in (("user", "Q?"), ("assistant", "A."))]
    lines(tmp_path / "sft.jsonl", {"messages": [system, *talk, *talk]}, {"prompt": "Long?", "answer": "word " * 200})
    lines(tmp_path / "pairs.jsonl", *({"prompt": q, "system": "S", "chosen": "Y", "rejected": "N"} for q in "abcd"))
    made = dict(start)
    made["sft"] = run("sft", SFT.model_copy(update={"data": Path("sft.jsonl")}), made, tmp_path / "run", tmp_path)
    figures = made["sft"].figures
    assert (figures["turns"], figures["data"]["longer_than_context"]) == (2, 1)
    assert figures["data"]["formats"] == {"messages": 1, "prompt-completion": 1}
    assert "1 cut at the context" in figures["summary"]
    reward = REWARD.model_copy(update={"data": Path("pairs.jsonl")})
    made["reward"] = run("reward", reward, made, tmp_path / "run", tmp_path)
    pairs = list(read_pairs(made["reward"].file("pairs.jsonl"), "train"))
    chosen, _ = encode_pair(pairs[0], TOKENIZER, 160)
    assert TOKENIZER.decode(chosen.prompt) == f"<|system|>S<|user|>{pairs[0].question}<|assistant|>"
    tasks = taught_tasks(made)
    assert [task.prompt for task in tasks] == sorted((pair.prompt for pair in pairs), key=json.dumps)


def test_own_examples_without_own_pairs(start: dict[str, Artifact], tmp_path: Path) -> None:
    lines(tmp_path / "sft.jsonl", {"prompt": "Q?", "answer": "A."})
    made = dict(start)
    made["sft"] = run("sft", SFT.model_copy(update={"data": Path("sft.jsonl")}), made, tmp_path / "run", tmp_path)
    with pytest.raises(GroundupError, match=r"no pair to learn from.*reward\.data"):
        run("reward", REWARD, made, tmp_path / "run")


def test_a_context_too_small_for_any_question(start: dict[str, Artifact], tmp_path: Path) -> None:
    small = tiny.model(vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=16)
    save_model(tmp_path / "pretrain" / "model", small)
    made = start | {"pretrain": tiny.artifact(tmp_path / "pretrain", "pretrain", {"precision": "fp32"})}
    with pytest.raises(GroundupError, match="no question with its answer fits the 16 tokens"):
        run("sft", SFT, made, tmp_path / "run")


def test_pairs_are_cut_to_the_context() -> None:
    pair = Pair("Q?", "A" * 50, "B", "given", "Q?", "train")
    prompt = len(ask("Q?", TOKENIZER))
    chosen, rejected = encode_pair(pair, TOKENIZER, prompt + 8)
    assert (len(chosen), len(rejected)) == (prompt + 8, prompt + 2)
    assert rejected.answer[-1] == TOKENIZER.end != chosen.answer[-1]
    with pytest.raises(GroundupError, match="the pair 'Q\\?': its prompt alone"):
        encode_pair(pair, TOKENIZER, prompt)


def test_an_item_fits_with_its_longest_question() -> None:
    item = Item("abs", "summary", "Return the absolute value.", "d")
    questions = [item.plain_question, *item.questions("tune"), *item.questions("evaluate")]
    longest = max(len(ask(question, TOKENIZER)) for question in questions)
    needed = longest + len(answer_ids(item.answer, TOKENIZER))
    assert fits(item, TOKENIZER, needed)
    assert not fits(item, TOKENIZER, needed - 1)


def test_grpo_on_the_taught_questions_and_on_a_persons_own(road: dict[str, Artifact], tmp_path: Path) -> None:
    """Scored by the reward model, or by the verifiers that the tasks name; both leave a model and their figures."""
    settings = {"iterations": 2, "rollouts": 8, "group": 4, "minibatch": 4, "max_answer_tokens": 6, **FAST}
    taught = run("grpo", GrpoConfig(**settings), road, tmp_path / "taught")
    assert load_model(taught.path / "model").config.vocab_size == TOKENIZER.vocabulary_size
    assert {"score", "kl", "entropy", "groups_alike"} <= set(taught.figures)
    rows = [
        {"prompt": "What is 1 + 1?", "answer": "2"},
        {"prompt": "A letter?", "answer": "[a-z]", "verifier": "regex"},
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = GrpoConfig(data=Path("tasks.jsonl"), preset="dapo", refill=1, **settings)
    own = run("grpo", config, road, tmp_path / "own", base=tmp_path)
    assert own.figures["prompts"] == 2
    assert 0 <= own.figures["score"] <= 1
