"""What went wrong in a run and what to try, by rules over its own figures; a healthy run has no problem.

Each rule looks at one stage and names its evidence. Rules are in the order of the stages, since a later stage suffers
from an earlier one: the first problem is the one to act on. Notes, which are no problem, come after all of them.

    figures, metrics of the stages -rules-> [Diagnosis(stage, what, evidence, to_try), ...]

Thresholds are on the safe side of what the default run measures; each constant's comment has that figure in brackets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import fmean, median
from typing import Any, Literal

from groundup.artifacts import Artifact, Figures, read_metrics

MAX_DROPPED = 0.3  # of the documents, by one rule (default run: 3 %)
MIN_KEPT = 0.1  # of a source's documents (94 %)
LANGUAGE = 0.05  # of the documents; a language with fewer may be lost unnoticed
BYTES = 256  # tokens that every vocabulary has, most of them rare in any one language
MAX_IDLE_TOKENS = 0.25  # of the other tokens, used in the corpus fewer than ten times (0 %)
MAX_BYTES_PER_VOCABULARY = 100_000  # of text, for each token of the vocabulary (1,244)
SPIKE = 1.3  # times the median loss before it, over nine steps (1.06)
GUESSING = 0.97  # of the loss of guessing among all tokens, at the end (.47)
STILL_FALLING = 0.99  # of the tenth before, the loss of the last tenth (1.00)
MIN_EPOCHS = 0.5  # (1.01)
OVERFITTED, REPEATED = 1.2, 3  # validation over training loss (1.11), where the corpus is read at least this often
MIN_TUNE = 0.7
MIN_TAUGHT = 0.5  # of the taught questions answered exactly (99.8 %)
MIN_REWARD_ACCURACY = 0.6  # chance is .5 (99.7 %)
LITTLE_LEFT = 0.05  # of the unseen questions, which SFT does not answer exactly (3 %)
MAX_KL = 20.0  # nats of an answer from the SFT model
MIN_ENTROPY = 0.1  # of that at the start
MAX_GROWTH = 2.0  # of the answers' length


@dataclass(frozen=True)
class Diagnosis:
    """One thing that went wrong: where, what, by which figures, and what to try."""

    stage: str
    what: str
    evidence: str
    to_try: str
    kind: Literal["problem", "note"] = "problem"
    """A note is true of healthy runs too, and worth knowing before the next one."""

    def __str__(self) -> str:
        return f"{self.stage}: {self.what} ({self.evidence}); {self.to_try}"


@dataclass(frozen=True)
class RunFigures:
    """What the rules read: figures and metrics of the stages that have run, by stage; {} and [] for others."""

    figures: Mapping[str, Figures]
    metrics: Mapping[str, Sequence[Mapping[str, Any]]]

    def of(self, stage: str) -> Figures:
        return self.figures.get(stage, {})

    def column(self, stage: str, name: str) -> list[float]:
        """One metric over the steps that have it."""
        return [float(row[name]) for row in self.metrics.get(stage, ()) if row.get(name) is not None]


def diagnose(artifacts: Mapping[str, Artifact]) -> list[Diagnosis]:
    """Everything that the rules find in a run's artifacts, the most fundamental first."""
    logs = {name: one.path / "records" / "metrics.jsonl" for name, one in artifacts.items()}
    metrics = {name: read_metrics(path) for name, path in logs.items() if path.is_file()}
    return diagnoses(RunFigures({name: one.figures for name, one in artifacts.items()}, metrics))


def diagnoses(run: RunFigures) -> list[Diagnosis]:
    """As `diagnose`, from plain figures."""
    found = [one for rule in RULES for one in rule(run)]
    return sorted(found, key=lambda one: one.kind == "note")


def _dropped(run: RunFigures) -> Iterator[Diagnosis]:
    curate = run.of("curate")
    dropped = curate.get("dropped", {})
    whole = curate.get("documents", 0) + sum(dropped.values())
    for rule, count in dropped.items():
        if count > MAX_DROPPED * whole:
            evidence = f"{count:,} of {whole:,} documents"
            yield Diagnosis(
                "curate",
                f"the rule {rule} drops {count / whole:.0%} of the documents",
                evidence,
                "see what it drops with `groundup corpus what-if`, and change its threshold under curate",
            )


def _sources(run: RunFigures) -> Iterator[Diagnosis]:
    sources = run.of("curate").get("sources", {})
    for name, one in sources.items():
        read, kept = one.get("read_documents", 0), one.get("documents", 0)
        if kept < MIN_KEPT * read or not read:
            yield Diagnosis(
                "curate",
                f"few documents are left of the source {name}",
                f"{kept:,} of {read:,}",
                "check its path and format, and what dropped them with `groundup corpus what-if`",
            )


def _languages(run: RunFigures) -> Iterator[Diagnosis]:
    read = {name: count for name, count in run.of("curate").get("languages", {}).items() if not name.startswith("und")}
    kept = run.of("tokens").get("train", {}).get("languages")
    for name, count in read.items() if kept else ():
        if count > LANGUAGE * sum(read.values()) and name not in kept:
            yield Diagnosis(
                "curate",
                f"no document in {name} is left",
                f"{count:,} were read",
                "set curate.rules.language to null, or take the rule as meant",
            )


def _tokenizer(run: RunFigures) -> Iterator[Diagnosis]:
    tokenizer, text = run.of("tokenizer"), run.of("curate").get("bytes", 0)
    vocabulary = tokenizer.get("vocabulary", 0)
    rare = tokenizer.get("rare", 0)  # those never used included
    idle = max(0.0, rare * vocabulary - BYTES) / max(1, vocabulary - BYTES)
    if idle > MAX_IDLE_TOKENS or vocabulary < tokenizer.get("vocabulary_asked", 0):
        yield Diagnosis(
            "tokenizer",
            "the vocabulary is too large for the corpus",
            f"{rare:.0%} of {vocabulary:,} tokens are used fewer than ten times",
            "lower tokenizer.vocabulary, or add documents",
        )
    elif vocabulary and text > MAX_BYTES_PER_VOCABULARY * vocabulary:
        yield Diagnosis(
            "tokenizer",
            "the vocabulary is too small for the corpus",
            f"{vocabulary:,} tokens for {text / 1e9:.1f} GB of text",
            "raise tokenizer.vocabulary: the same text then has fewer tokens",
        )


def _spikes(run: RunFigures) -> Iterator[Diagnosis]:
    losses = run.column("pretrain", "loss")
    window = max(20, len(losses) // 20)
    smooth = [fmean(losses[max(0, step - 8) : step + 1]) for step in range(len(losses))]
    ratios = {step: smooth[step] / median(smooth[step - window : step]) for step in range(window, len(losses))}
    step = max(ratios, key=lambda one: ratios[one], default=0)
    if step and ratios[step] > SPIKE:
        yield Diagnosis(
            "pretrain",
            "the loss spikes",
            f"{ratios[step]:.1f} times the loss before it at step {step + 1:,}",
            "lower pretrain.learning_rate, or lengthen its warm-up",
        )


def _guessing(run: RunFigures) -> Iterator[Diagnosis]:
    losses, vocabulary = run.column("pretrain", "loss"), run.of("tokenizer").get("vocabulary", 0)
    tenth = len(losses) // 10
    if tenth and vocabulary and (last := fmean(losses[-tenth:])) > GUESSING * log(vocabulary):
        too_fast = last > losses[0] or last > 1.1 * min(losses)
        yield Diagnosis(
            "pretrain",
            "the model has learnt nothing",
            f"loss {last:.2f} at the end, {log(vocabulary):.2f} for guessing among {vocabulary:,} tokens",
            "lower pretrain.learning_rate" if too_fast else "raise pretrain.tokens or pretrain.learning_rate",
        )


def _epochs(run: RunFigures) -> Iterator[Diagnosis]:
    losses, epochs = run.column("pretrain", "loss"), run.of("pretrain").get("epochs", 1.0)
    tenth = len(losses) // 10
    if tenth and epochs < MIN_EPOCHS:
        before, last = fmean(losses[-2 * tenth : -tenth]), fmean(losses[-tenth:])
        if last < STILL_FALLING * before:
            yield Diagnosis(
                "pretrain",
                "training ended while the loss was still falling",
                f"{before:.2f} to {last:.2f} over the last tenth, at {epochs:.2f} epochs",
                "raise pretrain.tokens: there is text that was not read",
            )


def _overfitting(run: RunFigures) -> Iterator[Diagnosis]:
    figures, losses = run.of("pretrain"), run.column("pretrain", "loss")
    validation, epochs = figures.get("heldout_loss"), figures.get("epochs", 0.0)
    tenth = len(losses) // 10
    if validation and tenth and epochs >= REPEATED:
        training = fmean(losses[-tenth:])
        if validation > OVERFITTED * training:
            yield Diagnosis(
                "pretrain",
                "the model learns its training text by heart",
                f"validation loss {validation:.2f}, training loss {training:.2f} after {epochs:.1f} epochs",
                "add documents, or lower pretrain.tokens or size",
            )


def _compression(run: RunFigures) -> Iterator[Diagnosis]:
    bits = run.of("evaluate").get("bits_per_byte", {})
    model, xz = bits.get("model"), bits.get("xz")
    if model and xz and model > xz:
        yield Diagnosis(
            "pretrain",
            "the model predicts held-out text worse than xz",
            f"{model:.2f} bits per byte, xz {xz:.2f}",
            "raise pretrain.tokens, or add documents",
        )


def _unlearnt(run: RunFigures) -> Iterator[Diagnosis]:
    taught = run.of("evaluate").get("answers", {}).get("sft", {}).get("taught", {})
    tune = run.of("sft").get("tune", {})
    if taught.get("questions") and taught["exact_match"] < MIN_TAUGHT:
        yield Diagnosis(
            "sft",
            "the answers that were taught are not learnt",
            f"{taught['exact_match']:.1%} of {taught['questions']:,} taught questions answered exactly",
            "raise sft.epochs, lower sft.subjects, or choose a larger size",
        )
    elif tune.get("questions") and tune["exact_match"] < MIN_TUNE:
        yield Diagnosis(
            "sft",
            "what was taught is not recognised in other words",
            f"{tune['exact_match']:.1%} of {tune['questions']:,} questions in phrasings to tune by answered exactly",
            "raise sft.epochs or lower sft.subjects, and compare runs by this figure",
        )


def _reward(run: RunFigures) -> Iterator[Diagnosis]:
    figures = run.of("reward")
    accuracy = figures.get("heldout_accuracy")
    if accuracy is not None and accuracy < MIN_REWARD_ACCURACY:
        yield Diagnosis(
            "reward",
            "the reward model ranks hardly better than chance",
            f"{accuracy:.1%} of {figures.get('heldout_pairs', 0):,} held-out pairs right",
            "give it more pairs or epochs, or check that chosen and rejected are not swapped",
        )
    elif (own := figures.get("own_answers", {})).get("better") is False:
        name, best = max(((name, one["accuracy"]) for name, one in own["free"].items()), key=lambda one: one[1])
        evidence = f"{own['reward']['accuracy']:.1%} of {own['pairs']:,} pairs, {name.replace('_', ' ')} {best:.1%}"
        if own["reward"]["high"] < best:
            yield Diagnosis(
                "reward",
                "the reward model judges the SFT model's own answers worse than what costs nothing",
                evidence,
                "give it pairs of the model's own answers (`groundup rank`), or align by dpo, which needs no judge",
            )
        else:
            yield Diagnosis(
                "reward",
                "the reward model can't be distinguished from what costs nothing, on the SFT model's own answers",
                evidence,
                "dpo needs no judge; people's rankings (`groundup rank`) teach what log-probability does not know",
                "note",
            )


def _signed(number: float) -> str:
    """`+0.013`; what rounds to nothing is `0.000`."""
    shown = f"{number:+.3f}"
    return shown[1:] if float(shown) == 0 else shown


def _gain(run: RunFigures) -> Iterator[Diagnosis]:
    evaluate = run.of("evaluate")
    stage, gain = evaluate.get("method", ""), evaluate.get("true_score_gain", {})
    if not gain or not stage:
        return
    before = evaluate.get("answers", {}).get("sft", {}).get("unseen", {}).get("exact_match", 0.0)
    mean, low, high = (_signed(gain[name] or 0) for name in ("mean", "low", "high"))
    evidence = f"F1 {mean} [{low}, {high}], {before:.1%} exact before"
    if gain["high"] < 0:
        yield Diagnosis(
            stage,
            "alignment made the answers worse",
            evidence,
            f"lower {stage}.learning_rate, or see whether its reward agrees with the truth",
        )
    elif gain["low"] <= 0:
        full = before > 1 - LITTLE_LEFT
        what, longer = "alignment changed nothing that can be measured", "epochs" if stage == "dpo" else "iterations"
        to_try = f"raise {stage}.{longer}"
        if full:
            what += ": little was left to gain"
            to_try = "teach more (sft.subjects): what SFT gets right already leaves alignment nothing to do"
        yield Diagnosis(
            stage,
            what,
            evidence,
            to_try,
            "note",
        )


def _policy(run: RunFigures) -> Iterator[Diagnosis]:
    for stage in ("ppo", "grpo"):
        kl, entropy = run.column(stage, "kl"), run.column(stage, "entropy")
        length = run.column(stage, "answer_tokens")
        if kl and kl[-1] > MAX_KL:
            yield Diagnosis(
                stage,
                "the policy runs away from the SFT model",
                f"KL {kl[-1]:.1f} nats at the end",
                f"raise {stage}.kl, or lower {stage}.learning_rate or {stage}.iterations",
            )
        if entropy and entropy[-1] < MIN_ENTROPY * entropy[0]:
            yield Diagnosis(
                stage,
                "the answers' entropy collapses",
                f"{entropy[0]:.2f} to {entropy[-1]:.3f} nats a token",
                f"raise {stage}.kl, or lower {stage}.learning_rate",
            )
        if length and length[-1] > MAX_GROWTH * length[0]:
            yield Diagnosis(
                stage,
                "answers grow longer and longer",
                f"{length[0]:.0f} to {length[-1]:.0f} tokens",
                f"the reward model favours length: raise {stage}.kl, or rank short answers above padded ones",
            )


Rule = Callable[[RunFigures], Iterator[Diagnosis]]
RULES: tuple[Rule, ...] = (
    _dropped,
    _languages,
    _sources,
    _tokenizer,
    _spikes,
    _guessing,
    _epochs,
    _overfitting,
    _compression,
    _unlearnt,
    _reward,
    _policy,
    _gain,
)
