"""Layouts that a blueprint's model and batches don't allow, each with the nearest one that they do."""

from collections.abc import Iterator

from groundup.alignment.configuration import PolicyConfig
from groundup.blueprint.configuration import Blueprint
from groundup.errors import GroundupError
from groundup.parallel.advice import Needs, misfits, shown, suggestions
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.deepspeed.settings import check
from groundup.planning.needed import needed
from groundup.planning.size import llm_config
from groundup.training.batch_size import first_rows, rows_of
from groundup.training.configuration import LoopConfig


def layouts(blueprint: Blueprint) -> dict[str, ParallelConfig]:
    """The layout of each training stage of the run, by its name."""
    trained = [name for name in needed(blueprint) if isinstance(getattr(blueprint, name, None), LoopConfig)]
    return {name: getattr(blueprint, name).parallel or blueprint.parallel for name in trained}


def impossible_layouts(blueprint: Blueprint) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys to blame, what is wrong) of a blueprint whose derived values are filled in and fit together."""
    found: dict[tuple[tuple[str, ...], str], list[str]] = {}
    needs = stage_needs(blueprint)
    by_stage = layouts(blueprint)
    for stage, parallel in by_stage.items():
        own = getattr(blueprint, stage).parallel is not None
        for misfit in misfits(parallel, needs[stage]):
            section = f"{stage}.parallel" if own else "parallel"
            found.setdefault(((f"{section}.{misfit.key}", section), misfit.what), []).append(stage)
    written = {
        f"{stage}.parallel" if getattr(blueprint, stage).parallel else "parallel": by_stage[stage] for stage in by_stage
    }
    for section, parallel in written.items():
        yield from _refused_settings(section, parallel)
    inherit = [stage for stage in by_stage if getattr(blueprint, stage).parallel is None]
    for (keys, what), stages in found.items():
        everywhere = set(stages) == set(inherit)
        parallel, of = by_stage[stages[0]], [needs[stage] for stage in stages]
        yield keys, what + _instead(suggestions(parallel, of), keys[1] if everywhere else f"{stages[0]}.parallel")


def _refused_settings(section: str, parallel: ParallelConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys that DeepSpeed's own settings, where they are given, must not have."""
    if parallel.engine == "deepspeed":
        try:
            check(parallel)
        except GroundupError as error:
            key = (error.where or "").removeprefix("parallel")
            yield (f"{section}{key}", f"{section}.deepspeed", section), f"{error.what}; {error.do}"


def stage_needs(blueprint: Blueprint) -> dict[str, Needs]:
    """What each training stage has to distribute, and what else it asks of an engine."""
    model = llm_config(blueprint, blueprint.tokenizer.vocabulary)
    pretrain, sft, reward, ppo, dpo = (
        blueprint.pretrain, blueprint.sft, blueprint.reward, blueprint.ppo, blueprint.dpo
    )  # fmt: skip
    assert pretrain.batch_tokens
    sequences = rows_of(pretrain.batch_tokens, pretrain.sequence, pretrain.accumulate)
    if pretrain.batch_warmup:
        sequences = first_rows(sequences, pretrain.batch_warmup.start)

    def answers(config: PolicyConfig) -> int:
        """Rows of the smallest micro-batch."""
        return min(config.minibatch // config.accumulate, config.rollouts % config.minibatch or config.minibatch)

    def needs(stage: str, rows: int, of: str, sequence: int | None = None, language_model: bool = True) -> Needs:
        config, first = getattr(blueprint, stage), stage == "pretrain"
        telemetry = config.telemetry or blueprint.telemetry
        return Needs(
            stage,
            model,
            rows,
            of,
            config.accumulate,
            sequence,
            language_model,
            frozen=config.lora is not None,
            optimizer=config.optimizer.name,
            precision=pretrain.precision,
            compiled=first and bool(pretrain.compile),
            recompute=str(pretrain.activation_checkpointing) if first else "none",
            float8=first and pretrain.fp8,
            layers_recorded=telemetry.layers is not None,
        )

    return {
        "pretrain": needs("pretrain", sequences, "sequences", sequence=pretrain.sequence),
        "sft": needs("sft", sft.batch_examples // sft.accumulate, "examples"),
        "reward": needs("reward", reward.batch_pairs // reward.accumulate, "pairs", language_model=False),
        "ppo": needs("ppo", answers(ppo), "answers", language_model=False),
        "grpo": needs("grpo", answers(blueprint.grpo), "answers"),
        "dpo": needs("dpo", dpo.batch_pairs // dpo.accumulate, "pairs"),
    }


def _instead(near: list[ParallelConfig], section: str) -> str:
    """`; possible are, for example, parallel: {dp_shard: 4} or {tp: 2}`."""
    return f"; possible: {section}: {' or '.join(map(shown, near))}" if near else ""
