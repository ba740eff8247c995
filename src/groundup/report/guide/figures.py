"""The guide's figures by name: diagrams from configurations, curves from a run's artifacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.pipeline.folder import RunFolder
from groundup.report import plots
from groundup.report.diagrams import decoder, layouts, pipeline
from groundup.report.markup import Html
from groundup.report.run import Run, read_run

SIZES: dict[str, LLMConfig] = {
    "gpt2": LLMConfig.like(
        "gpt2", vocab_size=50_257, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=1024,
    ),
    "llama3": LLMConfig(
        vocab_size=128_256, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=8192, tie_word_embeddings=False, rope_theta=500_000,
    ),
    "mixtral": LLMConfig.like(
        "mixtral", vocab_size=32_000, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=8192, tie_word_embeddings=False,
        moe_intermediate_size=14_336,
    ),
}  # fmt: skip
LAYOUTS = {
    "one device": ParallelConfig(),
    "8-way DDP": ParallelConfig(dp_replicate=8),
    "8-way FSDP": ParallelConfig(dp_shard=8),
    "8-way tensor": ParallelConfig(tp=8),
    "8-stage pipeline": ParallelConfig(pp=8),
    "FSDP 4 \u00d7 tensor 2": ParallelConfig(dp_shard=4, tp=2),
}
RANKS_OF = 8192  # tokens of a sequence in the figures of layouts


def open_run(folder: Path) -> Run:
    """A finished run's artifacts; raises GroundupError where it is not finished."""
    run_folder = RunFolder(folder).must_exist()
    remembered = run_folder.remembered()
    names = [name for name in (remembered.stages if remembered else {}) if name != "report"]
    return read_run(folder, {name: run_folder.artifact(name) for name in names})


def own_model(run: Run) -> LLMConfig:
    """The shape of the run's pretrained model."""
    if run.model is None:
        raise GroundupError("has no pretrained model", where=run.name)
    return run.model


def _decoder(run: Run, name: str, family: str = "own") -> Html:
    return decoder.decoder(own_model(run) if family == "own" else SIZES[family])


def _metrics(run: Run, name: str, stage: str = "pretrain", keys: str = "loss", y: str = "", x: str = "step") -> Html:
    stage = stage if stage != "align" else run.method or "sft"
    rows = run.metrics(stage)
    lines = [
        plots.curve_of(rows, key, key.replace("_", " "), colour, dots=key.startswith("validation"))
        for key, colour in zip(keys.split(","), "abc", strict=False)
    ]
    if not any(lines):
        raise GroundupError(f"the run's {stage} recorded no {keys}", where=run.name)
    return plots.curves(name, f"{keys} of {stage} over {x}s", lines, x_label=x, y_label=y or keys.split(",")[0])


def _funnel(run: Run, name: str) -> Html:
    kept = run.figure("curate", "documents") or 0
    dropped: Mapping[str, int] = run.figure("curate", "dropped") or {}
    total = kept + sum(dropped.values())
    rows: dict[str, dict[str, float]] = {"kept": {"documents": kept / total}}
    for rule, count in sorted(dropped.items(), key=lambda one: -one[1])[:6]:
        rows[rule] = {"documents": count / total}
    return layouts.bars(rows, "Documents kept, and dropped by each rule", unit="parts")


FIGURES: dict[str, Callable[..., Html]] = {
    "decoder": _decoder,
    "metrics": _metrics,
    "funnel": _funnel,
    "masks": lambda run, name: decoder.masks(),
    "grouped": lambda run, name: decoder.grouped(),
    "stages": lambda run, name: pipeline.stage_graph(run.loaded.blueprint),
    "document": lambda run, name: pipeline.document_way(),
    "ppo": lambda run, name: pipeline.ppo_flow(),
    "layouts": lambda run, name: layouts.layouts(),
    "memory": lambda run, name: layouts.memory_of_layouts(SIZES["llama3"], LAYOUTS, RANKS_OF),
    "traffic": lambda run, name: layouts.traffic_of_layouts(SIZES["llama3"], LAYOUTS, RANKS_OF),
    "schedule": lambda run, name: layouts.pipeline_schedule(),
}


def draw(name: str, run: Run, identity: str, arguments: Mapping[str, str], where: str) -> Html:
    """A figure by name; raises GroundupError where there is no such figure, or not what it draws."""
    if name not in FIGURES:
        raise GroundupError(f"there is no figure {name}", where=where, do=f"choose one of {', '.join(FIGURES)}")
    try:
        return FIGURES[name](run, identity, **arguments)
    except GroundupError as error:
        raise GroundupError(error.what, where=where, do=error.do) from error


def plotted(data: Mapping[str, Any], identity: str, label: str) -> Html:
    """Curves that a chapter's own code computed: `{lines: {label: (x, y)}, x_label, y_label}`."""
    lines = [
        plots.Curve(name, axes[0], axes[1], colour)
        for (name, axes), colour in zip(data["lines"].items(), "abc", strict=False)
    ]
    return plots.curves(identity, label, lines, x_label=data.get("x_label", ""), y_label=data.get("y_label", ""))
