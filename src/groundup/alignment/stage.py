"""The stages `sft`, `reward`, `ppo` and `dpo`: thin wiring of what the other files of this room do."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from groundup.alignment.answers import Answer
from groundup.alignment.configuration import DpoConfig, PpoConfig, RewardConfig, SftConfig
from groundup.alignment.dpo import DpoObjective
from groundup.alignment.examples import answer_ids, ask, fitted, read_instructions, read_preferences
from groundup.alignment.pair_objective import EncodedPair
from groundup.alignment.pairs import KINDS, Pair, make_pairs, read_pairs, split_given, write_pairs
from groundup.alignment.ppo import Ppo, train_ppo
from groundup.alignment.questions import MAIN_ASPECTS, Item, choose, items_of, read_items, write_items
from groundup.alignment.reward import (
    RewardModel,
    RewardObjective,
    ScalarModel,
    Scale,
    load_reward_model,
    save_reward_model,
    score_pairs,
)
from groundup.alignment.sft import SORTED_STEPS, Lesson, SftObjective
from groundup.artifacts import Artifact, Figures, Work
from groundup.corpus.documents import read_documents
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.weights import load_model, save_model
from groundup.parallel.device import Precision, settle
from groundup.parallel.engine import Engine, ModelOnDevice
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.engines import engine_for
from groundup.training.loop import Objective, TrainPlan, keep_lasting, train
from groundup.training.telemetry import flops_of, publish

ITEMS, PAIRS = "items.jsonl", "pairs.jsonl"
HELDOUT_QUESTIONS = 256  # looked at for the curve of the held-out loss


def sft(config: SftConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Teach the pretrained model to answer; writes `model/` and `items.jsonl` (what was taught)."""
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    model = load_model(inputs["pretrain"].path / "model")
    context = model.config.max_position_embeddings
    engine = _engine(model, config, inputs["pretrain"])
    items: list[Item] = []
    if config.data is not None:
        given = read_instructions(work.base / config.data.expanduser(), tokenizer, context)
        lessons, unseen = [Lesson([example]) for example in given], []
    else:
        documents = read_documents(inputs["curate"].folder("documents"), split="train", columns=("id", "facts"))
        items = choose(items_of(documents), config.subjects, config.prefer, config.max_answer_characters)
        items = [item for item in items if fits(item, tokenizer, context)]
        lessons = lessons_of(items, tokenizer, config.other_questions, work.seed)
        main = [item for item in items if item.aspect in MAIN_ASPECTS]
        unseen = [
            Answer(ask(item.questions("evaluate")[0], tokenizer), answer_ids(item.answer, tokenizer))
            for item in main[:: max(1, len(main) // HELDOUT_QUESTIONS)]
        ]
    if not lessons:
        raise GroundupError(
            f"no question with its answer fits the {context} tokens that the model sees",
            where="sft",
            do="raise pretrain.model.context",
        )
    write_items(work.out / ITEMS, items)
    padded, packed = (
        SftObjective(
            lessons,
            unseen,
            batch=config.batch_examples,
            accumulate=config.accumulate,
            pad=tokenizer.pad,
            seed=work.seed,
            context=length,
        )
        for length in (None, context)
    )
    objective = packed if config.pack else padded
    steps = math.ceil(config.epochs * len(lessons) / config.batch_examples)
    figures = _train(engine, objective, config, steps, work, "sft", model.config)
    _save(engine, work)
    subjects = len({item.subject for item in items if item.aspect in MAIN_ASPECTS})
    about = f" about {subjects:,} subjects" if subjects else ""
    return {
        "summary": f"{len(lessons):,} questions{about}, each asked {config.epochs:g} times",
        "examples": sum(len(lesson.variants) for lesson in lessons),
        "questions": len(lessons),
        "subjects": subjects,
        "turns": max(variant.prompt.count(tokenizer.user) for lesson in lessons for variant in lesson.variants),
        "made_from_documents": config.data is None,
        "steps": steps,
        "precision": engine.precision,
        "padding": padding({"padded": padded, "packed": packed}, min(steps, SORTED_STEPS)),
        **figures,
    }


def padding(objectives: Mapping[str, SftObjective], steps: int) -> dict[str, float]:
    """The share of padding in the first `steps` steps' batches, for each way to make them."""
    sizes = {name: objective.sizes(steps) for name, objective in objectives.items()}
    return {name: round(1 - examples / tokens, 4) for name, (examples, tokens) in sizes.items()}


def fits(item: Item, tokenizer: Tokenizer, context: int) -> bool:
    """Whether the item, however it is asked, leaves room for its whole answer in the model's context."""
    asked = [*item.questions("sft"), *item.questions("rl"), *item.questions("evaluate")]
    longest = max(len(ask(question, tokenizer)) for question in asked)
    return longest + len(answer_ids(item.answer, tokenizer)) <= context


def lessons_of(items: Sequence[Item], tokenizer: Tokenizer, others: float, seed: int) -> list[Lesson]:
    """A lesson for each item, in all its SFT phrasings; of what is not the main aspect only the share `others`."""
    kept = [item for item in items if item.aspect in MAIN_ASPECTS]
    rest = [item for item in items if item.aspect not in MAIN_ASPECTS]
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed)).tolist()
    kept += [rest[place] for place in sorted(order[: round(len(rest) * others)])]
    return [
        Lesson(
            [Answer(ask(question, tokenizer), answer_ids(item.answer, tokenizer)) for question in item.questions("sft")]
        )
        for item in kept
    ]


def reward(config: RewardConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Train the reward model from the SFT model; writes `model/` and `pairs.jsonl`."""
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    if config.data is not None:
        pairs = split_given(read_preferences(work.base / config.data.expanduser()), config.heldout, work.seed)
    else:
        items = read_items(inputs["sft"].file(ITEMS))
        main = [item for item in items if item.aspect in MAIN_ASPECTS]
        rest = [item for item in items if item.aspect not in MAIN_ASPECTS] or main
        pairs = make_pairs(main, rest, config.pairs_per_subject, config.heldout, work.seed)
    write_pairs(work.out / PAIRS, pairs)
    model = RewardModel(load_model(inputs["sft"].path / "model"), work.seed)
    engine = _engine(model, config, inputs["sft"])
    context = model.config.max_position_embeddings
    train_pairs = [encode_pair(pair, tokenizer, context) for pair in pairs if pair.split == "train"]
    held = [pair for pair in pairs if pair.split == "heldout"]
    heldout_pairs = [encode_pair(pair, tokenizer, context) for pair in held]
    if not train_pairs:
        raise GroundupError("there is no pair to learn from", where="reward", do="name your own pairs with reward.data")
    objective = RewardObjective(
        train_pairs,
        heldout_pairs,
        batch=config.batch_pairs,
        accumulate=config.accumulate,
        centering=config.centering,
        pad=tokenizer.pad,
        seed=work.seed,
    )
    steps = math.ceil(config.epochs * len(train_pairs) / config.batch_pairs)
    figures = _train(engine, objective, config, steps, work, "reward", model.config)
    with engine.whole() as whole:
        assert isinstance(whole, RewardModel)
        placed = ModelOnDevice(whole, engine.device, engine.precision)
        chosen, rejected = score_pairs(placed, train_pairs[:1024], tokenizer.pad)
        scale = Scale(float(chosen.mean()), max(1e-3, float(torch.cat((chosen, rejected)).std())))
        if engine.leader:
            save_reward_model(work.out / "model", whole, scale)
        chosen, rejected = score_pairs(placed, heldout_pairs, tokenizer.pad) if held else (chosen, rejected)
    by_kind = {}
    if held:
        right = (chosen > rejected).tolist()
        for kind in sorted({pair.kind for pair in held}, key=[*KINDS, "given"].index):
            of_kind = [ok for ok, pair in zip(right, held, strict=True) if pair.kind == kind]
            by_kind[kind] = {"pairs": len(of_kind), "accuracy": sum(of_kind) / len(of_kind)}
        (work.records / "heldout_scores.json").write_text(
            json.dumps({"chosen": chosen.tolist(), "rejected": rejected.tolist(), "kind": [p.kind for p in held]})
        )
    accuracy = f", {figures['heldout_accuracy']:.1%} of {len(held):,} held-out pairs right" if held else ""
    return {
        "summary": f"{len(train_pairs):,} pairs{accuracy}",
        "pairs": len(train_pairs),
        "heldout_pairs": len(held),
        "made_from_documents": config.data is None,
        "by_kind": by_kind,
        "steps": steps,
        "precision": engine.precision,
        **figures,
    }


def encode_pair(pair: Pair, tokenizer: Tokenizer, context: int) -> EncodedPair:
    """Both answers, cut to the model's context; raises GroundupError where the question alone fills it."""
    prompt, where = ask(pair.question, tokenizer), f"the pair {pair.question[:60]!r}"
    return (
        fitted(prompt, answer_ids(pair.chosen, tokenizer), context, where),
        fitted(prompt, answer_ids(pair.rejected, tokenizer), context, where),
    )


def ppo(config: PpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Move the SFT model towards what the reward model prefers; writes `model/`."""
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    policy = _engine(load_model(inputs["sft"].path / "model"), config, inputs["sft"])
    frozen, scale = load_reward_model(inputs["reward"].path / "model", policy.device)
    critic = ScalarModel(load_reward_model(inputs["reward"].path / "model")[0].language)  # its features, no opinion yet
    items = [item for item in read_items(inputs["sft"].file(ITEMS)) if item.aspect in MAIN_ASPECTS]
    questions = [question for item in items for question in item.questions("rl")]
    if not questions:
        questions = sorted({pair.question for pair in read_pairs(inputs["reward"].file(PAIRS), "train")})
    loop = Ppo(
        policy,
        _engine(critic, config, inputs["sft"]),
        load_model(inputs["sft"].path / "model", policy.device),
        frozen,
        scale,
        [ask(question, tokenizer) for question in questions],
        config,
        stop=tokenizer.end,
        pad=tokenizer.pad,
        seed=work.seed,
    )
    assert config.learning_rate, "filled in from `size`"
    metrics = work.keep / "metrics.jsonl"
    figures = train_ppo(
        loop,
        learning_rate_peak=config.learning_rate,
        checkpoints=Checkpoints(work.keep, config, config.parallel),
        metrics_path=metrics,
        progress=work.progress,
    )
    _save(policy, work)
    if policy.leader:
        publish(work.keep, work.records)
    summary = f"{config.iterations * config.rollouts:,} answers sampled, score {figures['score']:+.2f}"
    summary += f" at {figures['kl']:.2f} nats from the SFT model"
    return {
        "summary": summary,
        "iterations": config.iterations,
        "prompts": len(questions),
        "precision": policy.precision,
        **figures,
    }


def dpo(config: DpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Move the SFT model towards the chosen answers of the reward stage's pairs; writes `model/`."""
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    policy = _engine(load_model(inputs["sft"].path / "model"), config, inputs["sft"])
    reference = load_model(inputs["sft"].path / "model", policy.device).requires_grad_(False)
    pairs = {
        split: [
            encode_pair(pair, tokenizer, reference.config.max_position_embeddings)
            for pair in read_pairs(inputs["reward"].file(PAIRS), split)
        ]
        for split in ("train", "heldout")
    }
    objective = DpoObjective(
        pairs["train"],
        pairs["heldout"],
        reference,
        batch=config.batch_pairs,
        accumulate=config.accumulate,
        beta=config.beta,
        label_smoothing=config.label_smoothing,
        pad=tokenizer.pad,
        seed=work.seed,
    )
    steps = math.ceil(config.epochs * len(pairs["train"]) / config.batch_pairs)
    figures = _train(policy, objective, config, steps, work, "dpo", reference.config, passes=4 / 3)
    _save(policy, work)
    summary = f"{len(pairs['train']):,} pairs"
    return {"summary": summary, "pairs": len(pairs["train"]), "steps": steps, "precision": policy.precision, **figures}


def _engine(model: torch.nn.Module, config: LoopConfig, earlier: Artifact) -> Engine:
    """An engine in the precision that the earlier stage settled on."""
    settle()
    precision: Precision = earlier.figures["precision"]
    return engine_for(model, config, precision)


def _save(engine: Engine, work: Work) -> None:
    with engine.whole() as whole:
        assert isinstance(whole, CustomLanguageModel)
        if engine.leader:
            save_model(work.out / "model", whole)


def _train(
    engine: Engine,
    objective: Objective,
    config: LoopConfig,
    steps: int,
    work: Work,
    title: str,
    shape: LLMConfig,
    passes: float = 1.0,
) -> dict[str, float]:
    """Run the loop and keep what it writes as records.

    Args:
        shape: of the model, for the FLOPs of a batch.
        passes: what a batch costs beside forward and backward through the model alone.
    """
    assert config.learning_rate, "filled in from `size`"
    metrics: Path = work.keep / "metrics.jsonl"
    checkpoints = Checkpoints(work.keep, config, config.parallel)
    figures = train(
        engine,
        objective,
        TrainPlan(steps, config.learning_rate, config, validate_every=max(1, steps // 20)),
        title=title,
        checkpoints=checkpoints,
        metrics_path=metrics,
        progress=work.progress,
        flops=lambda batch: passes * flops_of(shape, batch.lengths),
    )
    if engine.leader:
        publish(work.keep, work.records)
        keep_lasting(checkpoints, work.records)
    return figures
