"""Which stages there are and what each is made from.

    curate -> tokenizer -> tokens -> pretrain -> sft -> reward -> ppo or dpo -> evaluate -> export -> report

A stage is defined once, here. Its function is named, and imported in the stage's own process only: to ask what is stale
needs no torch, and no room above this one is imported.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from groundup.blueprint.configuration import Blueprint
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.section import Section


@dataclass(frozen=True)
class Stage:
    """One step from a configuration and input artifacts to an output artifact."""

    name: str
    version: int
    """Raised by hand when the stage's code makes another result from the same input."""
    inputs: tuple[str, ...]
    function: str
    """`package.module:function`, called as `function(config, inputs, work)`."""
    configuration: Callable[[Blueprint], Section]
    """Takes the stage's section out of the blueprint."""
    sources: str | None = None
    """`package.module:function`, called as `function(config, base, cache)`: `{name: digest}` of the files and packages
    from outside that the stage reads. `base` is the blueprint's folder, `cache` one for the function's own use."""
    delivers: str | None = None
    """The name under which its newest artifact is copied to the run folder (`model`, `report`)."""
    sees_run: bool = False
    """The stage describes the whole run: it runs again when the blueprint's text or a record of an input changed."""


DELIVERED = {"model": "export", "report": "report"}  # folder next to the artifacts -> the stage that it is a copy of

METHODS = {
    "ppo": "groundup.alignment.policy_stage:ppo",
    "grpo": "groundup.alignment.policy_stage:grpo",
    "dpo": "groundup.alignment.preference:stage",
}


def stages(blueprint: Blueprint) -> tuple[Stage, ...]:
    """The stages of a blueprint in the order in which they run.

    `start` adds a stage of that name, whose model is the first one: pretraining continues it, or is skipped. With
    `align: none` the last model is SFT's, and there is no reward model.
    """
    data = "groundup.artifacts.outside:data_file"
    start, align = blueprint.start, blueprint.align
    given = () if start is None else ("start",)
    first = "start" if start is not None and start.first == "sft" else "pretrain"
    aligned = () if align == "none" else ("reward", align)
    begun, pretrained, preferred = tuple[Stage, ...](), tuple[Stage, ...](), tuple[Stage, ...]()
    if start is not None:
        begun = (
            Stage(
                "start",
                1,
                (),
                "groundup.training.start:stage",
                lambda b: start,
                sources="groundup.training.start:sources",
            ),
        )
    if first == "pretrain":
        inputs = ("tokens", "tokenizer", *given)
        pretrained = (Stage("pretrain", 2, inputs, "groundup.training.stage:stage", trained("pretrain")),)
    if aligned:
        preferred = (
            Stage(
                "reward", 1, ("tokenizer", "sft"), "groundup.alignment.reward:stage", trained("reward"), sources=data
            ),
            Stage(
                align,
                1,
                ("tokenizer", "sft", "reward"),
                METHODS[align],
                trained(align),
                sources=data if align == "grpo" else None,
            ),
        )
    made = (
        Stage(
            "curate",
            2,
            (),
            "groundup.corpus.curate.stage:stage",
            lambda b: b.curate,
            sources="groundup.corpus.fingerprint:fingerprint",
        ),
        *begun,
        Stage(
            "tokenizer",
            2,
            ("curate", *given),
            "groundup.tokenizer.stage:stage",
            lambda b: b.tokenizer,
            sources="groundup.tokenizer.compare:sources",
        ),
        Stage("tokens", 2, ("curate", "tokenizer"), "groundup.shards.stage:stage", lambda b: b.tokens),
        *pretrained,
        Stage(
            "sft",
            1,
            ("curate", "tokenizer", first),
            "groundup.alignment.sft:stage",
            trained("sft"),
            sources=data,
        ),
        *preferred,
        Stage(
            "evaluate",
            1,
            ("curate", "tokenizer", "tokens", first, "sft", *aligned),
            "groundup.evaluation.stage:stage",
            lambda b: b.evaluate,
            sources=data,
        ),
        Stage(
            "export",
            1,
            ("tokenizer", *aligned[1:], "sft", "curate"),
            "groundup.export.stage:stage",
            lambda b: b.export.model_copy(update={"name": b.export.name or b.name}),
            delivers="model",
        ),
    )
    report = Stage(
        "report",
        1,
        tuple(stage.name for stage in made),
        "groundup.report.stage:stage",
        lambda b: b.report,
        delivers="report",
        sees_run=True,
    )
    return (*made, report)


def trained(name: str) -> Callable[[Blueprint], Section]:
    """Takes a training stage's section out of a blueprint, its `parallel` and `telemetry` filled in."""

    def section(blueprint: Blueprint) -> Section:
        own = getattr(blueprint, name)
        changed: Section = own.model_copy(
            update={
                "parallel": own.parallel or blueprint.parallel,
                "telemetry": own.telemetry or blueprint.telemetry,
            }
        )
        return changed

    return section


def processes_of(among: Iterable[Stage], blueprint: Blueprint) -> dict[str, int]:
    """How many processes each training stage is spread over."""
    found = {}
    for stage in among:
        parallel = getattr(stage.configuration(blueprint), "parallel", None)
        if isinstance(parallel, ParallelConfig):
            found[stage.name] = parallel.processes
    return found


def descendants(name: str, among: Iterable[Stage]) -> frozenset[str]:
    """The stage `name` and every stage that is made from it, however far down."""
    found = {name}
    for stage in among:  # in the order in which they run, so one pass sees all
        if found & set(stage.inputs):
            found.add(stage.name)
    return frozenset(found)


def check_name(name: str, among: Iterable[Stage]) -> str:
    """`name`, if there is such a stage; raises GroundupError with the names there are."""
    names = [stage.name for stage in among]
    if name not in names:
        raise GroundupError(f"there is no stage {name} in this blueprint", do=f"its stages are {', '.join(names)}")
    return name
