"""The whole blueprint: one section per stage, each owned by its room."""

from typing import Literal

from pydantic import Field

from groundup.alignment.configuration import DpoConfig, GrpoConfig, PpoConfig, RewardConfig, SftConfig
from groundup.corpus.configuration import CurateConfig
from groundup.evaluation.configuration import EvaluateConfig
from groundup.export.configuration import ExportConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.configuration import ScaleConfig, Size
from groundup.report.configuration import ReportConfig
from groundup.section import Section
from groundup.shards.configuration import TokensConfig
from groundup.tokenizer.configuration import TokenizerConfig
from groundup.training.configuration import PretrainConfig, TelemetryConfig
from groundup.training.start_config import StartConfig


class Blueprint(Section):
    """From a folder of documents to an aligned model."""

    name: str = Field(default="model", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", examples=["python-docs", "handbook-2"])
    """What the run and the model are called: letters, digits, `.`, `_` and `-`."""
    size: Size = "4M"
    """About how many parameters (`4M`, `124M`, `1.5B`). Width, depth, batch, learning rate and tokens follow."""
    seed: int = Field(default=1337, ge=0, lt=2**32)
    """Everything drawn at random follows from it: the same seed, the same model."""
    start: StartConfig | None = None
    """A model to begin with; null: one with random weights."""
    parallel: ParallelConfig = ParallelConfig()
    """Over how many processes the training stages are spread; a stage's own `parallel` overrules it."""
    telemetry: TelemetryConfig = TelemetryConfig()
    """What the training stages write down of their steps; a stage's own `telemetry` overrules it."""
    curate: CurateConfig = CurateConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    tokens: TokensConfig = TokensConfig()
    pretrain: PretrainConfig = PretrainConfig()
    sft: SftConfig = SftConfig()
    reward: RewardConfig = RewardConfig()
    align: Literal["ppo", "grpo", "dpo", "none"] = "ppo"
    """Which method aligns the model with the preferences; `none` ends after SFT."""
    ppo: PpoConfig = PpoConfig()
    grpo: GrpoConfig = GrpoConfig()
    dpo: DpoConfig = DpoConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    export: ExportConfig = ExportConfig()
    report: ReportConfig = ReportConfig()
    scale: ScaleConfig = ScaleConfig()
