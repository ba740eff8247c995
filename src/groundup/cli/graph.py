"""All stages, the report included: its room stands above the pipeline, so only the command line knows both."""

from groundup.pipeline.graph import Stage, stages


def all_stages(align: str) -> tuple[Stage, ...]:
    """The stages of a run with the alignment method `ppo` or `dpo`, the report last."""
    made = stages(align)
    report = Stage(
        "report",
        1,
        tuple(stage.name for stage in made),
        "groundup.report.stage:stage",
        lambda blueprint: blueprint.report,
        delivers="report",
        sees_run=True,
    )
    return (*made, report)
