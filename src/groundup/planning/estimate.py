"""What a blueprint will take: parameters, tokens, FLOPs, memory, disk and seconds, stage by stage.

Formulas, with N parameters (for FLOPs those of matrix products: no norms, no untied embedding), L layers, d width
(heads x head size), T tokens that attend to each other, V words:

    training      6 N + 12 L d T FLOPs a token (PaLM, arXiv 2204.02311, appendix B)
    forward       2 N +  4 L d T
    pretrain      tokens x training, and Muon's own work (`planning.step`) for each step
    sft           questions x epochs x (question + answer) x training, the head on answers alone; the validations; the
                    validated questions answered once more
    reward        pairs x 2 x epochs x (question + answer) x training, the validations; the SFT model's own answers;
                    the scores of the pairs at the end
    dpo           pairs as for the reward, x (training + forward of the reference)
    ppo           iterations x rollouts x ( answer x forward, one token at a time
                    + (question + answer) x 4 forward: policy, reference, critic, reward model
                    + (question + answer) x epochs x 2 training: policy, critic ); the looks at the true score

    seconds       the start of the process, FLOPs over this machine's rate at each kind of work, a little for each step
    memory        by part: see `planning.memory`
    disk          2 checkpoints of 12 N while a stage trains, 4 N for each stage's result

No torch, no I/O but the sizes of the files that the blueprint names.
"""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from groundup.alignment.configuration import SCALE_PAIRS, PolicyConfig
from groundup.evaluation.configuration import EvaluateConfig
from groundup.export.configuration import ExportConfig
from groundup.model.configuration import LLMConfig
from groundup.planning import counts
from groundup.planning import machine as speeds
from groundup.planning import memory as held
from groundup.planning.corpus import Corpus, bytes_per_token, corpus_of
from groundup.planning.counts import ANSWER_TOKENS, QUESTION_TOKENS
from groundup.planning.data_stages import data_stages
from groundup.planning.forecast import Plan, StagePlan
from groundup.planning.machine import Machine, measure
from groundup.planning.memory import ROWS_STEP, WIDTH_STEP, BatchShapes, Held
from groundup.planning.needed import StagedSections, needed
from groundup.planning.reading import reading
from groundup.planning.size import Sections, llm_config
from groundup.planning.step import muon_flops, row_flops
from groundup.training.batch_size import BatchSizes, rising, rows_of
from groundup.training.configuration import LoopConfig

# Assumed where nothing has run yet. Edit here.
VALIDATED = 64  # held-out sequences in each of pretraining's validations (training/pretraining.py)
VALIDATION_ROWS, VALIDATION_BATCHES = 64, 8  # at a time (alignment/sft.py, alignment/reward.py)
SCORED_ROWS, EVALUATED_ROWS = 16, 128  # windows of held-out text, and questions, at a time (evaluation/)
SLOTS, PREFILL = 128, 512  # answers that are sampled together, tokens of prompts in a pass (inference/)
FORWARD_TOKENS = 4096  # of rollouts at a time, where nothing is learnt (alignment/rollout.py)
PADDING = 1.3  # rows are as long as their batch's longest


class PlannedSections(Sections, StagedSections, Protocol):
    """The part of a blueprint that a plan reads; the blueprint itself is above this room."""

    @property
    def evaluate(self) -> EvaluateConfig: ...
    @property
    def export(self) -> ExportConfig: ...


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
        return StagePlan("start", self.machine.start_seconds("model"), memory=memory, disk={"model": 4 * self.n})

    def report(self) -> StagePlan:
        seconds = self.machine.start_factor * speeds.REPORT_SECONDS
        return StagePlan("report", seconds, memory={"program": held.REPORT_PROGRAM_BYTES})

    @cached_property
    def _data(self) -> tuple[StagePlan, ...]:
        return data_stages(self.blueprint.curate, self.corpus, self.machine, self.model.vocab_size)

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
        training = {
            "activations": held.activation_bytes(self.model, micro, self.precision, kept),
            "logits": held.chunked_logits_bytes(self.model, micro, self.precision),
        }
        code = self._compiled(BatchShapes(1, 1))
        parts = Held(
            held.state_bytes(self.n, self.precision, config.optimizer.name, self._matrices()), training, {}, code
        )
        heldout_tokens = self.corpus.tokens * self.blueprint.curate.heldout
        looked = math.ceil(steps / config.validate_every) * min(VALIDATED * sequence, heldout_tokens)
        validating = self._working({"forward": looked * self._forward(sequence)})
        return self._trained("pretrain", tokens, steps, {"train": flops, "muon": muon}, parts, config, validating)

    def sft(self) -> StagePlan:
        config = self.blueprint.sft
        questions = int(self.figures.get("sft", {}).get("questions", counts.questions(self.blueprint.sft)))
        steps = math.ceil(config.epochs * questions / config.batch_examples)
        rows = math.ceil(config.batch_examples / config.accumulate)
        validated = counts.validated(config.subjects)
        return self._rows(
            "sft", steps, config.batch_examples, rows, VALIDATION_ROWS, validated, validated, whole_logits=False
        )

    def reward(self) -> StagePlan:
        config, pairs = self.blueprint.reward, counts.pairs(self.blueprint, self.figures)
        steps = math.ceil(config.epochs * pairs / config.batch_pairs)
        rows = 2 * math.ceil(config.batch_pairs / config.accumulate)
        validated = 2 * pairs * config.heldout / (1 - config.heldout)
        asked = counts.own_answers(self.blueprint) + counts.controls(self.blueprint)
        scored = 2 * min(SCALE_PAIRS, pairs) + validated
        return self._rows("reward", steps, 2 * config.batch_pairs, rows, 2 * VALIDATION_ROWS, validated, asked, scored)

    def dpo(self) -> StagePlan:
        config, pairs = self.blueprint.dpo, counts.pairs(self.blueprint, self.figures)
        steps = math.ceil(config.epochs * pairs / config.batch_pairs)
        rows = 2 * math.ceil(config.batch_pairs / config.accumulate)
        validated = 2 * pairs * self.blueprint.reward.heldout / (1 - self.blueprint.reward.heldout)
        asked = counts.answers_for_dpo(self.blueprint)
        at_a_time = 2 * VALIDATION_ROWS
        return self._rows("dpo", steps, 2 * config.batch_pairs, rows, at_a_time, validated, asked, reference=True)

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
        if self.blueprint.sft.data is None and rewarded:  # looks at the true score, each answer scored too
            looked = counts.looks(config.iterations) * counts.looked_at(self.blueprint.sft.subjects)
            flops["generate"] += looked * answer * self._forward(self.row)
            flops["forward"] += looked / answers * once / 3
        updates = config.iterations * config.epochs * math.ceil(config.rollouts / config.minibatch)
        length = min(self.model.max_position_embeddings, 2 * QUESTION_TOKENS + config.max_answer_tokens)
        known = min(config.rollouts, FORWARD_TOKENS // self.row)  # answers in a pass without training
        state = held.state_bytes(self.n, self.precision, config.optimizer.name)
        both = {part: models * state[part] for part in ("weights", "optimizer state", "checkpoint")}
        both["reference and reward model" if rewarded else "reference"] = (1 + rewarded) * 4 * self.n
        training = {
            "activations": held.activation_bytes(self.model, config.minibatch * self.row, self.precision),
            "logits": held.answer_logits_bytes(self.model, config.minibatch * answer, self.precision),
        }
        answering = {
            "key-value cache": self._cache(min(config.rollouts, SLOTS), length),
            "logits": held.answer_logits_bytes(self.model, known * answer, self.precision),
        }
        code = self._compiled(*self._policy_shapes(config, answer, updates), min(config.rollouts, SLOTS), answers)
        parts = Held(state | both, training, answering, code)
        return self._trained(stage, read * (config.epochs + 1), models * updates, flops, parts, config)

    def _policy_shapes(self, config: PolicyConfig, answer: int, updates: int) -> tuple[BatchShapes, BatchShapes]:
        """Of training, where a critic has the same ones, and of what is known of rollouts before it.

        Packed rows are as wide as the context, and a minibatch has a row more or less of them than the one before.
        """
        context, longest = self.model.max_position_embeddings, 2 * QUESTION_TOKENS + config.max_answer_tokens
        trained = self._shapes(config.minibatch, config.max_answer_tokens, updates)
        if config.pack:
            spread = math.ceil(config.minibatch * answer / ROWS_STEP / 4)  # of the sum of so many answers
            trained = BatchShapes(min(3, updates), min(max(1, spread), updates))
        passes = math.ceil(config.rollouts * min(longest, context) / FORWARD_TOKENS)
        passes *= 2 if "reward" in needed(self.blueprint) else 1  # which scores them
        known = min(config.iterations * passes, 3 * math.ceil(longest / WIDTH_STEP))
        return trained, BatchShapes(known, known)

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
        shapes = min(windows // SCORED_ROWS, sequence)  # every number of held-out tokens is one of its own
        always = {"program": held.EVALUATING_PROGRAM_BYTES, "weights": 2 * 4 * self.n}  # two models for a moment
        always["documents"] = round(held.DOCUMENTS_PER_BYTE * self.corpus.kept_bytes)
        code = self._compiled(None, BatchShapes(shapes, shapes))
        scoring = {  # what it frees is kept, and too small for xz's tables, which come on top
            "logits": held.answer_logits_bytes(self.model, SCORED_ROWS * sequence, self.precision, training=False),
            "activations": held.forward_bytes(self.model, SCORED_ROWS, sequence, self.precision),
            "xz": held.xz_bytes(self.corpus.kept_bytes),
            **code,
        }
        counting = {"n-gram counts": held.ngram_bytes(self.corpus.kept_bytes), **code}
        answering = {
            "key-value cache": self._cache(EVALUATED_ROWS, self._longest_row()),
            **self._compiled(None, BatchShapes(shapes, shapes), EVALUATED_ROWS, answers),
        }
        seconds = self.machine.start_seconds("model") + self._working(flops)
        seconds += (heldout + self.corpus.kept_bytes) / speeds.SCORE_BYTES
        memory = always | max(scoring, counting, answering, key=lambda phase: sum(phase.values()))
        tokens = 3 * held_tokens + answers * self.row
        return StagePlan("evaluate", seconds, tokens, flops=sum(flops.values()), memory=memory)

    def export(self) -> StagePlan:
        width = 4 if self.blueprint.export.dtype == "float32" else 2
        memory = {"program": held.ANSWERING_PROGRAM_BYTES, "weights": 2 * 4 * self.n}
        disk = {"model": 2 * width * self.n}
        return StagePlan("export", self.machine.start_seconds("model"), memory=memory, disk=disk)

    def _rows(
        self,
        stage: str,
        steps: int,
        rows: int,
        micro_rows: int,
        at_a_time: int,
        validated: float,
        answered: int = 0,
        scored: float = 0,
        reference: bool = False,
        whole_logits: bool = True,
    ) -> StagePlan:
        """A stage that trains on rows of question and answer.

        Args:
            rows: of a step.
            at_a_time: rows of a validation that are computed together, of `validated` in all.
            answered: questions that the model answers itself before or after it is trained.
            scored: rows that are read once more, before or after.
            whole_logits: whether the loss holds those of all answer tokens, or a chunk at a time.
        """
        tokens = round(steps * rows * self.row * PADDING)
        work = row_flops(self.model, self.row * PADDING, ANSWER_TOKENS, self.row)  # of one row
        flops = {
            "rows": steps * rows * work,
            "forward": (counts.looks(steps) * validated + scored) * work / 3,
            "generate": answered * ANSWER_TOKENS * self._forward(self.row),
        }
        state = held.state_bytes(self.n, self.precision, getattr(self.blueprint, stage).optimizer.name)
        if reference:
            flops["forward"] += steps * rows * work / 3
            state["reference"] = 4 * self.n
        micro = round(micro_rows * self.row * PADDING)
        training = {"activations": held.activation_bytes(self.model, micro, self.precision)}
        if whole_logits:
            training["logits"] = max(
                held.answer_logits_bytes(self.model, micro_rows * ANSWER_TOKENS, self.precision),
                held.answer_logits_bytes(self.model, at_a_time * ANSWER_TOKENS, self.precision, training=False),
            )
        else:
            training["logits"] = held.chunked_logits_bytes(self.model, micro_rows * ANSWER_TOKENS, self.precision)
        cache = self._cache(EVALUATED_ROWS, self._longest_row())
        answering = {"key-value cache": cache, "answering model": 4 * self.n} if answered else {}
        answer = self._longest_answer()
        validation = self._shapes(at_a_time, answer, VALIDATION_BATCHES)
        if stage == "reward":  # which scores its pairs at the end, the last few of each kind in a smaller batch
            validation = BatchShapes(validation.widths + 3, validation.heads + 16)
        together = min(answered, EVALUATED_ROWS)
        code = self._compiled(self._shapes(micro_rows, answer, steps), validation, together, answered)
        config: LoopConfig = getattr(self.blueprint, stage)
        return self._trained(stage, tokens, steps, flops, Held(state, training, answering, code), config)

    def _trained(
        self,
        stage: str,
        tokens: int,
        steps: int,
        flops: dict[str, float],
        parts: Held,
        config: LoopConfig,
        more_seconds: float = 0.0,
    ) -> StagePlan:
        """`more_seconds`: of what is not counted in `flops`."""
        seconds = self.machine.start_seconds("training") + self._working(flops) + steps * speeds.STEP_SECONDS
        seconds += more_seconds
        if stage == "sft" and self.blueprint.sft.data is None:
            seconds += self.corpus.kept_bytes / speeds.FACTS_BYTES
        memory = {"program": held.TRAINING_PROGRAM_BYTES, **parts.peak(seconds > config.checkpoint_seconds)}
        disk = {"checkpoints": 2 * parts.state["checkpoint"], "model": 4 * self.n}
        return StagePlan(stage, seconds, tokens, steps, sum(flops.values()), memory, disk)

    def _working(self, flops: Mapping[str, float]) -> float:
        return sum(amount / self.machine.rate(work, self.precision) for work, amount in flops.items())

    def _matrices(self) -> int:
        """Parameters that Muon trains in pretraining."""
        others = ("embedding", "positions", "head", "norms", "shortcuts")
        muon = self.blueprint.pretrain.optimizer.name == "muon"
        return self.n - sum(self.model.parts.get(part, 0) for part in others) if muon else 0

    def _compiled(
        self, trained: BatchShapes | None = None, forward: BatchShapes | None = None, together: int = 0, asked: int = 0
    ) -> dict[str, int]:
        """`asked`: questions that are answered, `together` of them at a time."""
        if not self.machine.compiles(self.precision):
            return {}
        passes, together = math.ceil(asked * QUESTION_TOKENS / PREFILL), 0 if self._by_kernel else together
        return {"compiled matmuls": held.compiled_matmul_bytes(self.model, trained, forward, together, passes)}

    @property
    def _by_kernel(self) -> bool:
        """Whether answers are decoded by groundup's own kernel (inference/compiled.py), whose cache is in float32."""
        multiplied = self.precision == "fp32" or (self.precision == "bf16" and self.machine.bf16)
        return multiplied and not self.model.num_experts and not self.model.smear

    def _cache(self, rows: int, tokens: int) -> int:
        return held.cache_bytes(self.model, rows, tokens, "fp32" if self._by_kernel else self.precision)

    def _shapes(self, rows: int, longest_answer: int, batches: int) -> BatchShapes:
        return held.batch_shapes(rows, self.row, 2 * QUESTION_TOKENS + longest_answer, ANSWER_TOKENS, batches)

    def _longest_answer(self) -> int:
        """Tokens of the longest answer that is taught."""
        return math.ceil(self.blueprint.sft.max_answer_characters / bytes_per_token(self.model.vocab_size))

    def _longest_row(self) -> int:
        return min(self.model.max_position_embeddings, 2 * QUESTION_TOKENS + self.blueprint.evaluate.max_answer_tokens)

    def _forward(self, context: int) -> float:
        return self.model.flops_per_token(context) / 3
