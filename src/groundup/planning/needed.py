"""Which stages a blueprint needs: each is skipped where nothing after it reads what it makes."""

from typing import Literal, Protocol

from groundup.alignment.configuration import DpoConfig, GrpoConfig, RewardConfig, SftConfig
from groundup.corpus.configuration import CurateConfig
from groundup.training.start_config import StartConfig


class StagedSections(Protocol):
    """The part of a blueprint that decides; the blueprint itself is above this room."""

    @property
    def start(self) -> StartConfig | None: ...
    @property
    def curate(self) -> CurateConfig: ...
    @property
    def sft(self) -> SftConfig: ...
    @property
    def reward(self) -> RewardConfig: ...
    @property
    def align(self) -> Literal["ppo", "grpo", "dpo", "none"]: ...
    @property
    def grpo(self) -> GrpoConfig: ...
    @property
    def dpo(self) -> DpoConfig: ...


def needed(blueprint: StagedSections) -> tuple[str, ...]:
    """The names of the run's stages, in the order in which they run.

    - Documents are curated, and tokenized, where `curate` names sources.
    - `start.first` skips pretraining (`sft`), or fine-tuning too (`align`).
    - A reward model is trained for PPO, for GRPO on tasks that name no verifier, and for DPO on the model's own
      answers. Other DPO reads pairs itself.
    """
    first, align = first_trained(blueprint), blueprint.align
    judged = {"ppo": True, "grpo": blueprint.grpo.data is None, "dpo": blueprint.dpo.own is not None}
    return (
        *(["curate"] if blueprint.curate.sources else []),
        *(["start"] if blueprint.start is not None else []),
        *(["tokenizer", "tokens"] if blueprint.curate.sources else []),
        *(["pretrain"] if first == "pretrain" else []),
        *(["sft"] if first != "align" else []),
        *(["reward"] if judged.get(align) else []),
        *([align] if align != "none" else []),
        "evaluate",
        "export",
        "report",
    )


def first_trained(blueprint: StagedSections) -> Literal["pretrain", "sft", "align"]:
    """The first stage that trains."""
    return "pretrain" if blueprint.start is None else blueprint.start.first


def missing_inputs(blueprint: StagedSections) -> list[tuple[str, str]]:
    """`(key, what is wrong)` where a stage needs what no other makes and no file gives."""
    first, align, names = first_trained(blueprint), blueprint.align, needed(blueprint)
    found: list[tuple[str, str]] = []
    if "curate" not in names and first == "pretrain":
        found.append(("curate.sources", "no document is named, and pretraining reads them: name at least one source"))
    if "curate" not in names and first == "sft" and blueprint.sft.data is None:
        what = "no document is named, and questions are made from them: name a source, or your own examples in sft.data"
        found.append(("curate.sources", what))
    if first == "align":
        unpaired = "is missing: without fine-tuning no pairs are made, so name a file that has some"
        if align == "none":
            found.append(("align", "nothing is left to do after start.first: align; choose ppo, grpo or dpo"))
        elif align == "dpo" and "reward" not in names and blueprint.dpo.data is None and blueprint.reward.data is None:
            found.append(("dpo.data", unpaired))
        elif "reward" in names and blueprint.reward.data is None:
            found.append(("reward.data", unpaired))
    return found
