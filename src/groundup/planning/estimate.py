"""What a blueprint will take: parameters, tokens, FLOPs, memory, disk and seconds, stage by stage.

Formulas, with N parameters (for FLOPs those of matrix products: no norms, no untied embedding), L layers, d width
(heads x head size), T tokens that attend to each other, V words:

    training      6 N + 12 L d T FLOPs a token (PaLM, arXiv 2204.02311, appendix B)
    forward       2 N +  4 L d T
    pretrain      tokens x training, and Muon's own work (`planning.step`) for each step
    sft           questions x epochs x (question + answer) x training, the head on answers alone; the validations; the
                    validated questions answered once more
    reward        pairs x 2 x epochs x (question + answer) x training, the validations; the SFT model's own answers
    dpo           pairs as for the reward, x (training + forward of the reference)
    ppo           iterations x rollouts x ( answer x forward, one token at a time
                    + (question + answer) x 4 forward: policy, reference, critic, reward model
                    + (question + answer) x epochs x 2 training: policy, critic )

    memory        by part: see `planning.memory`
    disk          2 checkpoints of 12 N while a stage trains, 4 N for each stage's result

No torch, no I/O but the sizes of the files that the blueprint names.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from groundup.alignment.configuration import VALIDATIONS, PolicyConfig
from groundup.evaluation.configuration import EvaluateConfig
from groundup.export.configuration import ExportConfig
from groundup.model.configuration import LLMConfig
from groundup.planning import counts
from groundup.planning import machine as speeds
from groundup.planning import memory as held
from groundup.planning.corpus import Corpus, bytes_per_token, corpus_of
from groundup.planning.curation import curation
from groundup.planning.machine import Machine, MatmulPrecision, measure
from groundup.planning.needed import StagedSections, needed
from groundup.planning.reading import Reading, reading
from groundup.planning.size import Sections, llm_config
from groundup.planning.step import muon_flops, row_flops
from groundup.training.batch_size import BatchSizes, rising, rows_of

# Assumed where nothing has run yet. Edit here.
QUESTION_TOKENS, ANSWER_TOKENS = 20, 14  # of questions made from documents, with a vocabulary of 4,096
VALIDATION_ROWS, VALIDATION_BATCHES = 64, 8  # at a time (alignment/sft.py, alignment/reward.py)
SCORED_ROWS, EVALUATED_ROWS = 16, 128  # windows of held-out text, and questions, at a time (evaluation/)
PADDING = 1.3  # rows are as long as their batch's longest
WRITTEN_OVER_TEXT = 0.6  # documents and ledger, over the text, compressed


class PlannedSections(Sections, StagedSections, Protocol):
    """The part of a blueprint that a plan reads; the blueprint itself is above this room."""

    @property
    def evaluate(self) -> EvaluateConfig: ...
    @property
    def export(self) -> ExportConfig: ...


@dataclass(frozen=True)
class StagePlan:
    """One stage, before it runs. `memory` and `disk` are bytes by part; `tokens` are those that a model reads."""

    stage: str
    seconds: float
    tokens: int = 0
    steps: int = 0
    flops: float = 0.0
    memory: dict[str, int] = field(default_factory=dict)
    disk: dict[str, int] = field(default_factory=dict)

    @property
    def memory_bytes(self) -> int:
        return sum(self.memory.values())

    @property
    def disk_bytes(self) -> int:
        return sum(self.disk.values())


@dataclass(frozen=True)
class Plan:
    """The whole run, before it runs."""

    model: LLMConfig
    parameters: dict[str, int]
    """By part; they add up to the model's."""
    stages: tuple[StagePlan, ...]
    machine: Machine
    corpus: Corpus
    precision: MatmulPrecision
    assumed: tuple[str, ...]
    """What the plan takes for granted, as sentences."""
    reading: Reading

    @property
    def seconds(self) -> dict[str, float]:
        return {stage.stage: stage.seconds for stage in self.stages}

    @property
    def flops(self) -> float:
        return sum(stage.flops for stage in self.stages)

    @property
    def peak(self) -> StagePlan:
        """The stage that needs most memory."""
        return max(self.stages, key=lambda stage: stage.memory_bytes)

    @property
    def disk_bytes(self) -> int:
        """All results, and the checkpoints of the stage that has most: a finished stage keeps none."""
        checkpoints = [stage.disk.get("checkpoints", 0) for stage in self.stages]
        return sum(stage.disk_bytes for stage in self.stages) - sum(checkpoints) + max(checkpoints)

    def stage(self, name: str) -> StagePlan:
        return next(stage for stage in self.stages if stage.stage == name)


def plan(
    blueprint: PlannedSections,
    machine: Machine | None = None,
    figures: Mapping[str, Mapping[str, Any]] | None = None,
    base: Path | None = None,
) -> Plan:
    """Estimate a blueprint whose derived values are filled in (`load(path).blueprint`).

    Args:
        machine: where it will run; None: this one, measured.
        figures: the figures of stages that have run already, by stage; they replace assumptions.
        base: the blueprint's folder, to look at the sizes of the files that it names.
    """
    machine, figures = machine or measure(base), figures or {}
    vocabulary = int(figures.get("tokens", {}).get("vocabulary", blueprint.tokenizer.vocabulary))
    model = llm_config(blueprint, vocabulary)
    corpus = corpus_of(blueprint.curate, vocabulary, figures, base)
    estimate = _Estimate(blueprint, model, machine, corpus, figures)
    stages = tuple(estimate.stage(name) for name in needed(blueprint))
    names = {stage.stage for stage in stages}
    assumed = [*(corpus.assumed if "curate" in names else ()), *estimate.assumed]
    assumed += estimate.reading.assumed if "pretrain" in names else ()
    if machine.accelerator:
        assumed.append(f"times are the processor's; with {machine.accelerator} in use it goes faster")
    precision = machine.precision(blueprint.pretrain.precision)
    return Plan(model, model.parts, stages, machine, corpus, precision, tuple(assumed), estimate.reading)


class _Estimate:
    """The stages of one blueprint, each by its formula."""

    def __init__(
        self,
        blueprint: PlannedSections,
        model: LLMConfig,
        machine: Machine,
        corpus: Corpus,
        figures: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.blueprint, self.model, self.machine, self.corpus, self.figures = blueprint, model, machine, corpus, figures
        self.n = model.num_parameters
        self.reading = reading(blueprint.pretrain, corpus.tokens, corpus.sources)
        self.precision = machine.precision(blueprint.pretrain.precision)
        self.assumed: list[str] = []
        self.row = QUESTION_TOKENS + ANSWER_TOKENS
        if "sft" not in figures and blueprint.sft.data is None and blueprint.curate.sources:
            self.assumed.append(f"questions of {QUESTION_TOKENS} and answers of {ANSWER_TOKENS} tokens")
            self.assumed.append(f"enough documents for {blueprint.sft.subjects:,} subjects")
        if blueprint.sft.data is not None or blueprint.reward.data is not None:
            self.assumed.append("your own examples are as many and as long as those made from documents")

    def stage(self, name: str) -> StagePlan:
        """The plan of the stage of that name."""
        if name in ("curate", "tokenizer", "tokens"):
            return next(one for one in self._data if one.stage == name)
        formula: Callable[[], StagePlan] = getattr(self, name)
        return formula()

    def start(self) -> StagePlan:
        memory = {"program": held.ANSWERING_PROGRAM_BYTES, "weights": 2 * 4 * self.n}
        return StagePlan("start", speeds.START_SECONDS, memory=memory, disk={"model": 4 * self.n})

    def report(self) -> StagePlan:
        return StagePlan("report", speeds.DATA_START_SECONDS, memory={"program": held.REPORT_PROGRAM_BYTES})

    @cached_property
    def _data(self) -> tuple[StagePlan, StagePlan, StagePlan]:
        kept, cores = self.corpus.kept_bytes, self.machine.cores
        width = 2 if self.model.vocab_size <= 65536 else 4
        program = {"program": held.DATA_PROGRAM_BYTES}
        start = speeds.DATA_START_SECONDS
        curate = curation(self.blueprint.curate, self.corpus, cores, WRITTEN_OVER_TEXT)
        return (
            StagePlan("curate", curate.seconds, memory=curate.memory, disk=curate.disk),
            StagePlan(
                "tokenizer",
                start + kept / speeds.TOKENIZER_BYTES / cores,
                memory={**program, "documents": kept, "word counts": held.word_count_bytes(kept)},
                disk={"vocabulary": 80 * self.model.vocab_size},
            ),
            StagePlan(
                "tokens",
                start + kept / speeds.ENCODE_BYTES / cores,
                tokens=self.corpus.tokens,
                memory={**program, "documents": kept},
                disk={"shards": width * self.corpus.tokens},
            ),
        )

    def pretrain(self) -> StagePlan:
        config, tokens = self.blueprint.pretrain, self.reading.tokens
        assert config.batch_tokens
        sequence = min(config.sequence, config.model.context)
        sizes = BatchSizes(rows_of(config.batch_tokens, sequence, config.accumulate))
        samples = math.ceil(tokens / sequence / config.accumulate)
        if warmup := config.batch_warmup:
            sizes = rising(sizes.rows, samples, warmup.start, warmup.fraction)
        steps = sizes.steps(samples)
        micro = math.ceil(config.batch_tokens / config.accumulate)
        flops = float(tokens * self.model.flops_per_token(sequence))
        muon = steps * muon_flops(self.model, config.optimizer)
        mode = config.activation_checkpointing
        kept = mode if isinstance(mode, str) else "selective"  # a number lets the compiler choose, much like it
        memory = {
            **self._trained(self._matrices()),
            "activations": held.activation_bytes(self.model, micro, self.precision, kept),
            "logits": held.chunked_logits_bytes(self.model, micro, self.precision),
            **self._compiled(held.BatchShapes(1, 1)),
        }
        return self._stage("pretrain", tokens, steps, {"train": flops, "muon": muon}, memory)

    def sft(self) -> StagePlan:
        config = self.blueprint.sft
        questions = int(self.figures.get("sft", {}).get("questions", counts.questions(self.blueprint.sft)))
        steps = math.ceil(config.epochs * questions / config.batch_examples)
        rows = math.ceil(config.batch_examples / config.accumulate)
        validated = counts.validated(config.subjects)
        return self._rows("sft", steps, config.batch_examples, rows, VALIDATION_ROWS, validated, validated)

    def reward(self) -> StagePlan:
        config, pairs = self.blueprint.reward, counts.pairs(self.blueprint, self.figures)
        steps = math.ceil(config.epochs * pairs / config.batch_pairs)
        rows = 2 * math.ceil(config.batch_pairs / config.accumulate)
        validated = 2 * pairs * config.heldout / (1 - config.heldout)
        asked = counts.own_answers(self.blueprint) + counts.controls(self.blueprint)
        return self._rows("reward", steps, 2 * config.batch_pairs, rows, 2 * VALIDATION_ROWS, validated, asked)

    def dpo(self) -> StagePlan:
        config, pairs = self.blueprint.dpo, counts.pairs(self.blueprint, self.figures)
        steps = math.ceil(config.epochs * pairs / config.batch_pairs)
        rows = 2 * math.ceil(config.batch_pairs / config.accumulate)
        validated = 2 * pairs * self.blueprint.reward.heldout / (1 - self.blueprint.reward.heldout)
        asked = counts.answers_for_dpo(self.blueprint)
        return self._rows("dpo", steps, 2 * config.batch_pairs, rows, 2 * VALIDATION_ROWS, validated, asked, True)

    def ppo(self) -> StagePlan:
        return self._policy("ppo", self.blueprint.ppo)

    def grpo(self) -> StagePlan:
        return self._policy("grpo", self.blueprint.grpo)

    def _policy(self, stage: str, config: PolicyConfig) -> StagePlan:
        models = 2 if config.advantage == "gae" and not config.valued else 1  # such a critic is as large as the policy
        rewarded = "reward" in needed(self.blueprint)
        answer = min(config.max_answer_tokens, ANSWER_TOKENS)
        answers = config.iterations * config.rollouts
        read = round(answers * (QUESTION_TOKENS + answer) * PADDING)
        answered = answers * answer * PADDING
        once = row_flops(self.model, read, answered, self.row)
        flops = {
            "generate": answers * answer * self._forward(self.row),
            "forward": (1 + rewarded + models) * once / 3,
            "rows": config.epochs * models * once,
        }
        updates = config.iterations * config.epochs * math.ceil(config.rollouts / config.minibatch)
        longest = min(config.max_answer_tokens, 2 * ANSWER_TOKENS)  # of a minibatch; rows are as long
        tokens = config.minibatch * (QUESTION_TOKENS + longest)
        length = min(self.model.max_position_embeddings, 2 * QUESTION_TOKENS + config.max_answer_tokens)
        memory = {
            "program": held.TRAINING_PROGRAM_BYTES,
            **{part: models * size for part, size in held.state_bytes(self.n, self.precision).items()},
            ("reference and reward model" if rewarded else "reference"): (1 + rewarded) * 4 * self.n,
            "activations": held.activation_bytes(self.model, tokens, self.precision),
            "logits": held.answer_logits_bytes(self.model, config.minibatch * longest, self.precision),
            "key-value cache": held.cache_bytes(self.model, config.rollouts, length, self.precision),
            **self._compiled(*[self._shapes(config.minibatch, config.max_answer_tokens, updates)] * 2),
        }
        return self._stage(stage, read * (config.epochs + 1), models * updates, flops, memory, models=models)

    def evaluate(self) -> StagePlan:
        """Held-out text through three models, and the same questions to each; besides n-grams and xz."""
        heldout = self.corpus.kept_bytes * self.blueprint.curate.heldout
        held_tokens = round(self.corpus.tokens * self.blueprint.curate.heldout)
        answers = 3 * self.blueprint.sft.subjects * (1 if self.blueprint.align == "none" else 2)  # of each model
        flops = {
            "forward": 3.0 * held_tokens * self._forward(self.blueprint.pretrain.sequence),
            "generate": float(answers * ANSWER_TOKENS) * self._forward(self.row),
        }
        sequence = min(self.blueprint.pretrain.sequence, self.model.max_position_embeddings)
        windows = held_tokens // (sequence // 2)  # most documents end before the sequence does
        memory = {
            "program": held.ANSWERING_PROGRAM_BYTES,
            "weights": 2 * 4 * self.n,  # the next model is read before the last one is dropped
            "key-value cache": held.cache_bytes(self.model, EVALUATED_ROWS, self._longest_row(), self.precision),
            "documents": 2 * self.corpus.kept_bytes,
            "n-gram counts": held.ngram_bytes(self.corpus.kept_bytes),
            "logits": held.answer_logits_bytes(self.model, SCORED_ROWS * sequence, self.precision, training=False),
            # every number of held-out tokens is a shape of its own, and every width
            **self._compiled(forward=held.BatchShapes(min(windows // SCORED_ROWS, sequence), windows // SCORED_ROWS)),
        }
        stage = self._stage("evaluate", 3 * held_tokens + answers * self.row, 0, flops, memory, models=0)
        scored = (heldout + 0.1 * self.corpus.kept_bytes) / speeds.SCORE_BYTES
        return StagePlan("evaluate", stage.seconds + scored, stage.tokens, 0, stage.flops, memory)

    def export(self) -> StagePlan:
        width = 4 if self.blueprint.export.dtype == "float32" else 2
        memory = {"program": held.ANSWERING_PROGRAM_BYTES, "weights": 2 * 4 * self.n}
        return StagePlan("export", speeds.START_SECONDS, memory=memory, disk={"model": 2 * width * self.n})

    def _rows(
        self,
        stage: str,
        steps: int,
        rows: int,
        micro_rows: int,
        at_a_time: int,
        validated: float,
        answered: int = 0,
        reference: bool = False,
    ) -> StagePlan:
        """A stage that trains on rows of question and answer.

        Args:
            rows: of a step.
            at_a_time: rows of a validation that are computed together, of `validated` in all.
            answered: questions that the model answers itself when it is trained.
        """
        tokens = round(steps * rows * self.row * PADDING)
        work = row_flops(self.model, self.row * PADDING, ANSWER_TOKENS, self.row)  # of one row
        flops = {
            "rows": steps * rows * work,
            "forward": min(VALIDATIONS, steps) * validated * work / 3,
            "generate": answered * ANSWER_TOKENS * self._forward(self.row),
        }
        memory = self._trained()
        if answered:
            memory["key-value cache"] = held.cache_bytes(
                self.model, EVALUATED_ROWS, self._longest_row(), self.precision
            )
        if reference:
            flops["forward"] += steps * rows * work / 3
            memory["reference"] = 4 * self.n
        micro = round(micro_rows * self.row * PADDING)
        memory["activations"] = held.activation_bytes(self.model, micro, self.precision)
        memory["logits"] = max(
            held.answer_logits_bytes(self.model, micro_rows * ANSWER_TOKENS, self.precision),
            held.answer_logits_bytes(self.model, at_a_time * ANSWER_TOKENS, self.precision, training=False),
        )
        answer = self._longest_answer()
        validation = self._shapes(at_a_time, answer, VALIDATION_BATCHES)
        memory |= self._compiled(self._shapes(micro_rows, answer, steps), validation)
        return self._stage(stage, tokens, steps, flops, memory)

    def _stage(
        self, stage: str, tokens: int, steps: int, flops: dict[str, float], memory: dict[str, int], models: int = 1
    ) -> StagePlan:
        working = sum(amount / self.machine.rate(work, self.precision) for work, amount in flops.items())
        seconds = speeds.START_SECONDS + working + steps * speeds.STEP_SECONDS
        disk = {"checkpoints": 2 * models * 12 * self.n, "model": 4 * self.n} if models else {}
        return StagePlan(stage, seconds, tokens, steps, sum(flops.values()), memory, disk)

    def _trained(self, matrices: int = 0) -> dict[str, int]:
        return {"program": held.TRAINING_PROGRAM_BYTES, **held.state_bytes(self.n, self.precision, matrices)}

    def _matrices(self) -> int:
        """Parameters that Muon trains in pretraining."""
        others = ("embedding", "positions", "head", "norms", "shortcuts")
        muon = self.blueprint.pretrain.optimizer.name == "muon"
        return self.n - sum(self.model.parts.get(part, 0) for part in others) if muon else 0

    def _compiled(
        self, trained: held.BatchShapes | None = None, forward: held.BatchShapes | None = None
    ) -> dict[str, int]:
        found = held.compiled_matmul_bytes(self.precision, trained, forward)
        return {"compiled matmuls": found} if found else {}

    def _shapes(self, rows: int, answer: int, batches: int) -> held.BatchShapes:
        return held.batch_shapes(rows, 2 * QUESTION_TOKENS, answer, batches)

    def _longest_answer(self) -> int:
        """Tokens of the longest answer that is taught."""
        return math.ceil(self.blueprint.sft.max_answer_characters / bytes_per_token(self.model.vocab_size))

    def _longest_row(self) -> int:
        return min(self.model.max_position_embeddings, 2 * QUESTION_TOKENS + self.blueprint.evaluate.max_answer_tokens)

    def _forward(self, context: int) -> float:
        return self.model.flops_per_token(context) / 3
