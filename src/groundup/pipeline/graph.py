"""Which stages there are and what each is made from.

    curate -> tokenizer -> tokens -> pretrain -> sft -> reward -> ppo -> evaluate -> export -> report

A stage is defined once, here. Its function is named, and imported in the stage's own process only: to ask what is stale
needs no torch, and no room above this one is imported.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from groundup.blueprint.configuration import Blueprint
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.needed import needed
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
VERSIONS = {"ppo": 2, "grpo": 2, "dpo": 3}


def stages(blueprint: Blueprint) -> tuple[Stage, ...]:
    """The stages of a blueprint in the order in which they run.

    Which ones these are is decided by `planning.needed`; a stage's inputs are those of its possible ones that are made.
    `start` adds a stage of that name, whose model is the first one: later stages read it instead of the stages
    `pretrain`, `tokenizer` and `sft` where these are skipped.
    """
    data = "groundup.artifacts.outside:data_file"
    names = needed(blueprint)
    first = "pretrain" if "pretrain" in names else "start"
    outside = () if "tokenizer" in names and "sft" in names else ("start",)
    method = () if blueprint.align == "none" else (blueprint.align,)
    own_data = {"grpo": data, "dpo": data}
    every = (
        Stage(
            "curate",
            2,
            (),
            "groundup.corpus.curate.stage:stage",
            lambda b: b.curate,
            sources="groundup.corpus.fingerprint:fingerprint",
        ),
        Stage(
            "start",
            1,
            (),
            "groundup.training.start:stage",
            _start,
            sources="groundup.training.start:sources",
        ),
        Stage(
            "tokenizer",
            2,
            ("curate", "start"),
            "groundup.tokenizer.stage:stage",
            lambda b: b.tokenizer,
            sources="groundup.tokenizer.compare:sources",
        ),
        Stage("tokens", 2, ("curate", "tokenizer"), "groundup.shards.stage:stage", lambda b: b.tokens),
        Stage(
            "pretrain",
            2,
            ("tokens", "tokenizer", "start"),
            "groundup.evaluation.in_training:pretrain"
            if blueprint.pretrain.validation_tasks
            else "groundup.training.stage:stage",
            trained("pretrain"),
        ),
        Stage(
            "sft",
            3,
            ("curate", "tokenizer", first),
            "groundup.alignment.sft:stage",
            trained("sft"),
            sources=data,
        ),
        Stage(
            "reward",
            2,
            ("tokenizer", "sft", *outside),
            "groundup.alignment.reward:stage",
            trained("reward"),
            sources=data,
        ),
        *(
            Stage(
                name,
                VERSIONS[name],
                ("tokenizer", "sft", "reward", *outside),
                METHODS[name],
                trained(name),
                sources=own_data.get(name),
            )
            for name in method
        ),
        Stage(
            "evaluate",
            3,
            ("curate", "tokenizer", "tokens", first, "sft", "reward", *method),
            "groundup.evaluation.stage:stage",
            lambda b: b.evaluate,
            sources=data,
        ),
        Stage(
            "export",
            3,
            ("tokenizer", *method, "sft", *outside, "curate", "evaluate"),
            "groundup.export.stage:stage",
            lambda b: b.export.model_copy(update={"name": b.export.name or b.name}),
            delivers="model",
        ),
    )
    made = [replace(one, inputs=tuple(i for i in one.inputs if i in names)) for one in every if one.name in names]
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


def _start(blueprint: Blueprint) -> Section:
    assert blueprint.start is not None
    return blueprint.start


def trained(name: str) -> Callable[[Blueprint], Section]:
    """Takes a training stage's section out of a blueprint, its `parallel` and `telemetry` filled in."""

    def section(blueprint: Blueprint) -> Section:
        own = blueprint.dpo.with_pairs_of(blueprint.reward) if name == "dpo" else getattr(blueprint, name)
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
