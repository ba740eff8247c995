"""A plan read by a person: one line for the start, a table, what to change."""

from collections.abc import Iterable

from groundup.planning.forecast import Plan, StagePlan
from groundup.progress import clock

MEMORY_FRACTION = 0.9  # of what is free; beyond, the machine swaps
LONG_SECONDS = 12 * 3600
MAX_EPOCHS = 4  # beyond, a token read again teaches less and less (arXiv 2305.16264)
MIN_STEPS = 200
LARGE_EMBEDDING = 0.5  # fraction of the parameters in the embedding


def headline(plan: Plan) -> str:
    """What will happen and how long it should take, in one line."""
    tokens = next((stage.tokens for stage in plan.stages if stage.stage == "pretrain"), 0)
    reads = f"{short(tokens)} tokens to pretrain on" if tokens else "no pretraining"
    return (
        f"{short(plan.model.num_parameters)} parameters ({plan.model.num_hidden_layers} layers of "
        f"{plan.model.hidden_size}), {reads}, about "
        f"{duration(sum(plan.seconds.values()))} and {size(plan.peak.memory_bytes)} of memory on "
        f"{plan.machine.cores} core{'s' * (plan.machine.cores != 1)} ({_precision(plan)})"
    )


def _precision(plan: Plan) -> str:
    slow = plan.machine.slow_in(plan.precision)
    return f"{plan.precision}, which this processor can't multiply and computes slowly" if slow else plan.precision


def compute_optimal(plan: Plan) -> str:
    """Tokens per parameter in pretraining, and how many would be best for the compute; "" without pretraining."""
    tokens = next((stage.tokens for stage in plan.stages if stage.stage == "pretrain"), 0)
    if not tokens:
        return ""
    from groundup.planning.scaling import CHINCHILLA, FLOPS_PER_PARAMETER_TOKEN  # numpy: only a plan needs it

    parameters = plan.model.num_parameters
    best, best_tokens = CHINCHILLA.optimum(FLOPS_PER_PARAMETER_TOKEN * parameters * tokens)
    wanted = CHINCHILLA.tokens_for(parameters)
    return (
        f"{tokens / parameters:.2g} tokens per parameter; compute-optimal for this size would be "
        f"{wanted / parameters:.2g} ({short(wanted)} tokens), and for this compute {short(best)} parameters on "
        f"{short(best_tokens)} tokens (arXiv 2404.10102, fitted on models of 44 M to 16 B parameters)"
    )


def table(plan: Plan) -> list[tuple[str, ...]]:
    """Rows of text, the first one headings: stage, tokens, steps, FLOPs, memory, disk, time."""
    rows: list[tuple[str, ...]] = [("stage", "tokens", "steps", "FLOPs", "memory", "disk", "time")]
    for stage in plan.stages:
        counts = (short(stage.tokens) if stage.tokens else "", f"{stage.steps:,}" if stage.steps else "")
        flops = f"{stage.flops:.1e}" if stage.flops else ""
        disk = size(stage.disk_bytes) if stage.disk_bytes else ""
        rows.append((stage.stage, *counts, flops, size(stage.memory_bytes), disk, clock(stage.seconds)))
    total = clock(sum(plan.seconds.values()))
    rows.append(("in all", "", "", f"{plan.flops:.1e}", size(plan.peak.memory_bytes), size(plan.disk_bytes), total))
    return rows


def advice(plan: Plan) -> list[str]:
    """What to change, and why; empty where the run fits the machine and its data."""
    return [*_memory(plan), *_disk(plan), *_time(plan), *_data(plan)]


def _memory(plan: Plan) -> Iterable[str]:
    if plan.machine.memory is None:
        return
    room = MEMORY_FRACTION * plan.machine.memory
    too_large = []
    for stage in plan.stages:
        if stage.memory_bytes <= room:
            continue
        freed = ((parts, lever, sum(stage.memory[part] for part in parts)) for parts, lever in _levers(stage))
        found = next((one for one in freed if stage.memory_bytes - one[2] < room), None)
        if found is None:
            too_large.append(stage)
            continue
        parts, lever, amount = found
        times = -(-amount // max(1, int(room - (stage.memory_bytes - amount))))
        yield (
            f"{stage.stage} needs about {size(stage.memory_bytes)} of memory and {size(plan.machine.memory)} are free; "
            f"{size(amount)} of it are {' and '.join(parts)}: {lever.format(times=times)}"
        )
    if too_large:
        fixed = max(_unshrinkable(stage) for stage in too_large)
        program = max(stage.memory["program"] for stage in too_large)
        fits = plan.model.num_parameters * max(0.0, room - program) / max(1, fixed - program)
        yield (
            f"{', '.join(stage.stage for stage in too_large)}: up to {size(fixed)} of memory whatever the batch, and "
            f"{size(plan.machine.memory)} are free: choose a size of at most about {short(0.8 * fits)}"
        )


def _unshrinkable(stage: StagePlan) -> int:
    return stage.memory_bytes - sum(stage.memory[part] for parts, _ in _levers(stage) for part in parts)


def _levers(stage: StagePlan) -> list[tuple[list[str], str]]:
    """`(parts, what to do)`: the parts of a stage's memory that can shrink at the same model, by what shrinks them."""
    found: list[tuple[tuple[str, ...], str]]
    if stage.stage in ("ppo", "grpo"):
        found = [(("activations", "logits"), f"divide {stage.stage}.minibatch by {{times}}")]
    else:
        found = [
            (("activations",), f"multiply {stage.stage}.accumulate by {{times}}"),
            (("documents",), "split the sources over several runs"),
        ]
    present = (([part for part in parts if part in stage.memory], lever) for parts, lever in found)
    return [(parts, lever) for parts, lever in present if parts]


def _disk(plan: Plan) -> Iterable[str]:
    if plan.machine.disk is not None and plan.disk_bytes > plan.machine.disk:
        yield (
            f"the run writes about {size(plan.disk_bytes)} and {size(plan.machine.disk)} are free: make room, or "
            "choose another folder with --run"
        )


def _time(plan: Plan) -> Iterable[str]:
    longest = max(plan.stages, key=lambda stage: stage.seconds)
    if longest.seconds <= LONG_SECONDS:
        return
    line = f"{longest.stage} takes about {duration(longest.seconds)} on this machine"
    if longest.stage == "pretrain":
        hour = longest.tokens * 3600 / longest.seconds
        yield f"{line}: pretrain.tokens: {_two_digits(hour):_} takes an hour; or choose a smaller size"
    elif longest.stage in ("sft", "ppo", "grpo"):
        policy = f"{longest.stage}.iterations or {longest.stage}.rollouts"
        lever = "sft.epochs or sft.subjects" if longest.stage == "sft" else policy
        yield f"{line}: lower {lever}, or choose a smaller size"
    else:
        yield f"{line}: start with fewer sources, or use more cores"


def _data(plan: Plan) -> Iterable[str]:
    pretrain = next((stage for stage in plan.stages if stage.stage == "pretrain"), None)
    if pretrain is None:
        return
    for name, epochs in plan.reading.epochs.items():
        if epochs > MAX_EPOCHS:
            tokens = plan.corpus.sources[name] if name else plan.corpus.tokens
            what = f"the source {name}" if name else "the corpus"
            yield (
                f"pretrain reads {what} ({short(tokens)} tokens) {epochs:.0f} times; beyond {MAX_EPOCHS} times it "
                f"teaches less and less (arXiv 2305.16264): lower {plan.reading.lever}, or add documents"
            )
    if pretrain.steps < MIN_STEPS:
        batch = max(1, pretrain.tokens // MIN_STEPS)
        yield (
            f"pretrain takes only {pretrain.steps} optimizer steps: lower pretrain.batch_tokens to about "
            f"{_two_digits(batch):_}, or raise pretrain.tokens"
        )
    embedding_fraction = (plan.parameters["embedding"] + plan.parameters.get("head", 0)) / plan.model.num_parameters
    if embedding_fraction > LARGE_EMBEDDING:
        yield (
            f"{embedding_fraction:.0%} of the parameters are the embedding of {plan.model.vocab_size:,} tokens: lower "
            "tokenizer.vocabulary, or choose a larger size"
        )


def _two_digits(value: float) -> int:
    return int(float(f"{value:.1e}"))


def short(number: float) -> str:
    """`4.0 M`, `812`, `1.2 B`."""
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number:.0f}"


def size(amount: float) -> str:
    """Bytes as `812 MB` or `2.4 GB` (powers of ten)."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9)):
        if amount >= scale:
            return f"{amount / scale:.1f} {unit}"
    return f"{amount / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """`40 seconds`, `12 minutes`, `3.5 hours`, `9 days`."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:,.0f} days"
