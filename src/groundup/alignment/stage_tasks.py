"""What the methods that sample answers ask, and the reward model that judges them."""

import json
from collections.abc import Mapping

from groundup.alignment.data.pairs import read_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.reward import load_reward_model
from groundup.alignment.rewards.model import ModelReward
from groundup.alignment.rewards.reward import Reward
from groundup.alignment.training import ITEMS, PAIRS, StageTraining
from groundup.artifacts import Artifact
from groundup.parallel.engine import Engine, ModelOnDevice


def main_items(inputs: Mapping[str, Artifact]) -> list[Item]:
    """One for each subject that SFT taught; none where it taught a person's own examples."""
    items = read_items(inputs["sft"].file(ITEMS)) if "sft" in inputs else []
    return [item for item in items if item.aspect in MAIN_ASPECTS]


def taught_tasks(inputs: Mapping[str, Artifact], phrasings: int | None = None) -> list[Task]:
    """What SFT taught, in the phrasings of `rl`; where that was a person's own examples, the questions of the pairs.

    Args:
        phrasings: at most so many of each subject; None: all.
    """
    tasks = [
        task_of(question, item.answer) for item in main_items(inputs) for question in item.questions("rl")[:phrasings]
    ]
    if tasks:
        return tasks
    pairs = read_pairs(inputs["reward"].file(PAIRS), "train")
    prompts = {json.dumps(pair.prompt): pair.prompt for pair in pairs}
    return [Task(prompt) for _, prompt in sorted(prompts.items())]


def reward_of(training: StageTraining, inputs: Mapping[str, Artifact], engine: Engine) -> Reward:
    """The reward stage's model, on the engine's device and in its precision."""
    model, scale = load_reward_model(inputs["reward"].path / "model", engine.device)
    return ModelReward(ModelOnDevice(model, engine.device, engine.precision), scale, training.tokenizer.pad)
