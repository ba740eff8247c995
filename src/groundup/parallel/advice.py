"""Which layouts are possible, and which ones near an impossible one are: the one law of layouts.

A blueprint is checked against it before any process is started, and `engine_for` before it makes an engine; the engines
themselves take what they are given. `tp` splits heads, `pp` layers, `cp` the tokens of a row, `dp` the rows of a
micro-batch, `ep` experts. Imports no torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import gcd, lcm, log2

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.schedules import stages_per_process, suits, too_few

DEGREES = ("dp_replicate", "dp_shard", "cp", "tp", "pp")
MAX_SUGGESTIONS = 3
TORCH = version("torch")
# Before it no function with a backward pass of its own can be halved (zero_bubble), and matrices that are both split by
# tp and sharded can't be gathered (Muon).
HALVES_SINCE = MUON_SINCE = "2.13"


@dataclass(frozen=True)
class Needs:
    """What a training stage has to distribute, and what else it asks of an engine."""

    stage: str
    model: LLMConfig
    rows: int | None = None
    """Of the smallest micro-batch, over all data-parallel processes; None: not known."""
    of: str = "sequences"
    """What a row is: sequences, examples, pairs, answers."""
    accumulate: int = 1
    sequence: int | None = None
    """Tokens of every row, where all have the same number; else rows are padded to what a layout needs."""
    language_model: bool = True
    """False: what is trained has another head (reward model, critic)."""
    frozen: bool = False
    """Whether a part of the weights is not trained."""
    optimizer: str = "adamw"
    precision: str = "auto"
    compiled: bool = False
    """Whether the layers may be compiled."""
    recompute: str = "none"
    float8: bool = False
    layers_recorded: bool = False
    """Whether telemetry looks into each layer."""


@dataclass(frozen=True)
class Misfit:
    """What is wrong with a layout: the key of `parallel` that is to blame, and a sentence about it."""

    key: str
    what: str


def misfits(parallel: ParallelConfig, needs: Needs) -> Iterator[Misfit]:
    """Everything that makes a layout impossible for a stage."""
    yield from _engine(parallel, needs)
    yield from _options(parallel, needs)
    model, tp, pp, cp, ep = needs.model, parallel.tp, parallel.pp, parallel.cp, parallel.ep
    for count, name in _cut_by_tp(model):
        if count % tp:
            yield Misfit("tp", f"{count} {name} can't be split evenly by tp {tp}")
            break
    if pp > 1:
        yield from _pipeline(parallel, needs)
    chunks = cp * lcm(2, tp if parallel.sequence_parallel else 1)  # as `mesh/context.py` cuts them
    if needs.sequence is not None and needs.sequence % chunks and cp > 1:
        yield Misfit("cp", f"sequences of {needs.sequence} tokens can't be cut into {chunks} equal chunks")
    if cp > 1 and pp > 1 and needs.sequence is None and parallel.engine == "torch":
        yield Misfit("cp", "cp and pp go together in pretraining alone: other losses need the features of whole rows")
    if needs.rows is not None and needs.rows < parallel.dp:
        yield Misfit("dp_shard" if parallel.dp_shard > 1 else "dp_replicate", _too_few(parallel, needs))
    if ep > 1:
        yield from _experts(parallel, needs)
    if parallel.offload and parallel.engine == "torch" and parallel.dp_shard * cp == 1:
        yield Misfit("offload", "offload keeps shards in the CPU's memory, and nothing is sharded: raise dp_shard")


def check(parallel: ParallelConfig, needs: Needs) -> None:
    """Raises GroundupError with the first misfit of a layout, and the possible ones nearest to it."""
    for misfit in misfits(parallel, needs):
        near = suggestions(parallel, [needs])
        do = f"possible are, for example, {' or '.join(map(shown, near))}" if near else "change the model"
        raise GroundupError(misfit.what, where=f"{needs.stage}: parallel.{misfit.key}", do=do)


def suggestions(parallel: ParallelConfig, every: Sequence[Needs]) -> list[ParallelConfig]:
    """`nearest`, under the engine torch where the engine asked for can't train the model at all."""
    return nearest(parallel, every) or nearest(parallel.model_copy(update={"engine": "torch"}), every)


def nearest(parallel: ParallelConfig, every: Sequence[Needs]) -> list[ParallelConfig]:
    """The possible layouts nearest to an impossible one, at most three: of as many processes, else of fewer.

    Args:
        every: stages that the layout is for; what is returned is possible for each of them.

    Returns:
        The nearest first; empty where not even one process will do (an engine that can't train the model).
    """
    found = [one for one in _candidates(parallel, every) if not any(any(misfits(one, needs)) for needs in every)]
    most = max((one.processes for one in found), default=0)
    found = [one for one in found if one.processes == most]
    return sorted(found, key=lambda one: (_distance(one, parallel), *_simplicity(one)))[:MAX_SUGGESTIONS]


def shown(parallel: ParallelConfig) -> str:
    """A layout as it is written in a blueprint: `{dp_shard: 4, tp: 2}`."""
    parts = [f"engine: {parallel.engine}"] if parallel.engine != "torch" else []
    parts += [f"{name}: {getattr(parallel, name)}" for name in (*DEGREES, "ep") if getattr(parallel, name) > 1]
    if parallel.pp > 1 and parallel.schedule != ParallelConfig().schedule:
        parts.append(f"schedule: {parallel.schedule}")
    return "{" + (", ".join(parts) or "dp_shard: 1") + "}"


def _engine(parallel: ParallelConfig, needs: Needs) -> Iterator[Misfit]:
    """What an engine doesn't know."""
    engine = parallel.engine
    if engine == "deepspeed":
        for name in ("cp", "tp", "pp", "ep", "dp_replicate"):
            if getattr(parallel, name) > 1:
                yield Misfit(name, "the engine deepspeed shards over dp_shard alone")
    if engine != "deepspeed" and parallel.deepspeed is not None:
        yield Misfit("deepspeed", f"these are DeepSpeed's settings, and the engine is {engine}")
    if engine == "megatron":
        yield from _megatron(parallel, needs)
    if engine != "torch" and needs.optimizer != "adamw":
        yield Misfit("engine", f"{engine} trains by adamw, and {needs.stage}.optimizer is {needs.optimizer}")
    if needs.optimizer == "muon" and parallel.tp > 1 and parallel.dp_shard > 1 and TORCH < MUON_SINCE:
        yield Misfit("tp", f"Muon under dp_shard and tp together needs PyTorch {MUON_SINCE}, this is {TORCH}")


def _options(parallel: ParallelConfig, needs: Needs) -> Iterator[Misfit]:
    """What a stage asks for that its engine has under some degrees alone."""
    if needs.precision == "fp16" and parallel.engine != "torch":
        yield Misfit("engine", f"{parallel.engine} trains in fp32 or bf16, and pretrain.precision is fp16")
    if needs.frozen:
        yield from _without(parallel, "lora", "tp", "pp")
    model = needs.model
    if any((model.attention_dropout, model.resid_pdrop, model.embd_pdrop)):
        yield from _without(parallel, "dropout", "tp", "cp")
    if model.shortcuts:
        name = f"a model with {model.shortcuts[0]} (architecture: fast)"
        yield from _without(parallel, name, "tp", "pp", "cp", "ep")
        if parallel.engine == "megatron":
            yield Misfit("engine", f"megatron, as it is used here, has no {model.shortcuts[0]} (architecture: fast)")
    for name, wanted in (("compile", needs.compiled), ("fp8", needs.float8)):
        if not wanted:
            continue
        yield from _without(parallel, name, "tp", "cp", "ep")
        if parallel.engine != "torch":
            yield Misfit("engine", f"{name} doesn't go with {parallel.engine}")
        if parallel.pp > 1 and parallel.schedule == "zero_bubble":
            yield Misfit("schedule", f"{name} doesn't go with the schedule zero_bubble")
    if parallel.pp > 1 and parallel.schedule == "zero_bubble" and parallel.engine == "torch":
        if needs.recompute == "selective":
            yield Misfit("schedule", "activation_checkpointing: selective doesn't go with the schedule zero_bubble")
        if TORCH < HALVES_SINCE:
            yield Misfit("schedule", f"the schedule zero_bubble needs PyTorch {HALVES_SINCE}, this is {TORCH}")


def _without(parallel: ParallelConfig, name: str, *degrees: str) -> Iterator[Misfit]:
    return (Misfit(degree, f"{name} doesn't go with {degree}") for degree in degrees if getattr(parallel, degree) > 1)


def _megatron(parallel: ParallelConfig, needs: Needs) -> Iterator[Misfit]:
    if not needs.language_model:
        yield Misfit("engine", f"megatron trains language models, and {needs.stage} trains another head too")
    if needs.frozen:
        yield Misfit("engine", f"megatron trains all of a model, and {needs.stage} trains a part of it")
    if needs.layers_recorded:
        yield Misfit("engine", "megatron's layers can't be watched one by one (telemetry.layers)")
    model = needs.model
    if model.num_experts:
        yield Misfit("engine", "megatron, as it is used here, trains no experts")
    if model.attention_dropout or model.resid_pdrop or model.embd_pdrop:
        yield Misfit("engine", "megatron, as it is used here, trains without dropout")
    if model.embedding_norm:
        yield Misfit("engine", "megatron, as it is used here, has no norm after the embedding (model.unit_start)")
    if model.attention_bias != model.mlp_bias:
        yield Misfit("engine", "megatron has one switch for the biases of attention and of the feed-forward part")
    if parallel.dp_replicate > 1 and parallel.dp_shard > 1:
        yield Misfit("dp_replicate", "megatron shards its optimizer over all data-parallel processes or over none")
    if parallel.ep > 1:
        yield Misfit("ep", "megatron, as it is used here, has no expert parallelism")
    if parallel.offload:
        yield Misfit("offload", "megatron keeps all on the device")
    if parallel.pp > 1 and parallel.schedule not in ("1f1b", "interleaved"):
        yield Misfit("schedule", f"megatron has no schedule {parallel.schedule}; take 1f1b or interleaved")


def _pipeline(parallel: ParallelConfig, needs: Needs) -> Iterator[Misfit]:
    pp, layers, count = parallel.pp, needs.model.num_hidden_layers, needs.accumulate
    stages = pp * stages_per_process(parallel)
    if not needs.language_model:
        yield Misfit("pp", f"what {needs.stage} trains has another head than a language model and can't be cut by pp")
        return
    if layers < stages:
        yield Misfit("pp", f"{layers} layers can't be cut into {stages} stages ({parallel.schedule}, pp {pp})")
    elif parallel.engine == "megatron" and layers % stages:
        yield Misfit("pp", f"{layers} layers make no {stages} equal stages, which megatron needs")
    if not suits(parallel, count):
        yield Misfit("pp", too_few(parallel, count, f"{needs.stage}.accumulate"))


def _experts(parallel: ParallelConfig, needs: Needs) -> Iterator[Misfit]:
    model, ep = needs.model, parallel.ep
    if parallel.engine != "torch":
        return
    if not model.num_experts:
        yield Misfit("ep", "the model has no experts to spread")
        return
    if parallel.dp_shard % ep:
        yield Misfit(
            "ep", f"ep {ep} is no divisor of dp_shard {parallel.dp_shard}, whose processes it spreads experts over"
        )
    elif model.num_experts % ep:
        yield Misfit("ep", f"{model.num_experts} experts can't be split evenly by ep {ep}")
    else:
        shards = parallel.dp_shard // ep * parallel.cp
        widths = (2 * model.moe_intermediate_size, model.hidden_size)
        if any(width % shards for width in widths):
            yield Misfit(
                "ep", f"experts' matrices of {widths[0]} and {widths[1]} rows can't be cut into {shards} shards"
            )


def _cut_by_tp(model: LLMConfig) -> list[tuple[int, str]]:
    return [
        (model.num_attention_heads, "heads"),
        (model.num_key_value_heads, "key-value heads"),
        (model.intermediate_size, "columns of the feed-forward matrices"),
    ]


def _too_few(parallel: ParallelConfig, needs: Needs) -> str:
    part = f" in each of {needs.accumulate} micro-batches" if needs.accumulate > 1 else ""
    one = needs.of[:-1] if needs.rows == 1 else needs.of
    return f"{needs.stage} has {needs.rows} {one} a step{part}, too few for dp_replicate x dp_shard = {parallel.dp}"


def _candidates(parallel: ParallelConfig, every: Sequence[Needs]) -> Iterator[ParallelConfig]:
    """Layouts of at most as many processes that have a chance; each degree is tried where it could be possible.

    Data parallelism takes what the other degrees leave.
    """
    processes = parallel.processes
    heads = gcd(*(count for needs in every for count, _ in _cut_by_tp(needs.model)))
    rows = min((needs.rows for needs in every if needs.rows is not None), default=processes)
    halves = [needs.sequence // 2 for needs in every if needs.sequence is not None]
    layers = min(needs.model.num_hidden_layers for needs in every)
    only_data = parallel.engine == "deepspeed"
    tps = [1] if only_data else _divisors(heads, processes)
    cps = [1] if only_data else _divisors(gcd(*halves) if halves else processes, processes)
    pps = [1] if only_data else range(1, min(layers, processes) + 1)
    for tp in tps:
        for cp in cps:
            for pp in pps:
                dp = min(processes // (tp * cp * pp), rows)
                for replicas in _divisors(dp, dp):
                    given = {"tp": tp, "cp": cp, "pp": pp, "dp_replicate": replicas, "dp_shard": dp // replicas}
                    for ep in _expert_degrees(parallel, dp // replicas, every):
                        yield parallel.model_copy(update={**given, "ep": ep})


def _expert_degrees(parallel: ParallelConfig, shards: int, every: Sequence[Needs]) -> list[int]:
    """Values of ep to try: only where it was asked for."""
    experts = gcd(*(needs.model.num_experts for needs in every))
    return [1] if parallel.ep == 1 or not experts else _divisors(gcd(experts, shards), shards)


def _divisors(number: int, most: int) -> list[int]:
    return [n for n in range(1, min(number, most) + 1) if number % n == 0]


def _distance(one: ParallelConfig, other: ParallelConfig) -> float:
    """How often a degree would have to be doubled or halved to come from one to the other."""
    pairs = ((getattr(one, name), getattr(other, name)) for name in (*DEGREES, "ep"))
    return sum(abs(log2(mine / theirs)) for mine, theirs in pairs)


def _simplicity(one: ParallelConfig) -> tuple[int, ...]:
    """Of layouts equally near, the one with the fewest kinds of parallelism comes first, and shards before copies."""
    degrees = [getattr(one, name) for name in DEGREES]
    return sum(degree > 1 for degree in degrees), one.dp_replicate, -one.dp_shard, one.cp, one.pp, one.tp
