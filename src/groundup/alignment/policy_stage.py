"""The stages `ppo` and `grpo`: the SFT model is moved towards what a reward prefers."""

import json
from collections.abc import Mapping, Sequence

from groundup.alignment.configuration import GrpoConfig, PolicyConfig, PpoConfig
from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.examples import prompt_ids, skip_long_prompts
from groundup.alignment.data.pairs import read_pairs
from groundup.alignment.data.questions import MAIN_ASPECTS, read_items
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.policy import PolicyObjective
from groundup.alignment.reward import ScalarModel, load_reward_model
from groundup.alignment.rewards.model import ModelReward
from groundup.alignment.rewards.reward import FunctionReward, Reward
from groundup.alignment.rewards.user_function import is_function, load_function
from groundup.alignment.rewards.verifiers import verify
from groundup.alignment.rollout import Sampler
from groundup.alignment.training import ITEMS, PAIRS, StageTraining
from groundup.artifacts import Artifact, Figures, Work
from groundup.parallel.engine import Engine, ModelOnDevice


def ppo(config: PpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """With the reward model of the reward stage, and a critic that starts from it; writes `model/`."""
    training = StageTraining("ppo", config, inputs, "sft", work)
    policy = training.engine(training.model())
    return _train(training, config, inputs, policy, _taught(inputs), _reward_model(training, inputs, policy))


def grpo(config: GrpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Without a critic, on a person's own tasks and their verifiers or as `ppo`; writes `model/`."""
    training = StageTraining("grpo", config, inputs, "sft", work)
    policy = training.engine(training.model())
    if config.data is None:
        return _train(training, config, inputs, policy, _taught(inputs), _reward_model(training, inputs, policy))
    file = read_tasks(work.base / config.data.expanduser(), config.verifier)
    skip_long_prompts(file, training.tokenizer, training.model().config.max_position_embeddings)
    tasks = [task for _, task in file.records]
    own = load_function(config.verifier, work.base) if is_function(config.verifier) else None

    def score(task: Task, answer: str) -> float:
        return own(task, answer) if own is not None and task.verifier == config.verifier else verify(task, answer)

    figures = _train(training, config, inputs, policy, tasks, FunctionReward(score, training.tokenizer))
    return figures | {"summary": f"{figures['summary']}; {file.summary}", "data": file.figures()}


def _train(
    training: StageTraining,
    config: PolicyConfig,
    inputs: Mapping[str, Artifact],
    policy: Engine,
    tasks: Sequence[Task],
    reward: Reward,
) -> Figures:
    critic = None
    if config.advantage == "gae":  # starts with the reward model's features, where there is one, and values of 0
        rewarded = load_reward_model(inputs["reward"].path / "model")[0].language if "reward" in inputs else None
        critic = training.engine(ScalarModel(rewarded or training.model()))
    sampler = Sampler(
        tasks,
        [prompt_ids(task.prompt, training.tokenizer) for task in tasks],
        reward,
        None if config.lora else training.model().to(policy.device),
        config,
        stop=training.tokenizer.end,
        pad=training.tokenizer.pad,
        seed=training.work.seed,
    )
    objective = PolicyObjective(sampler, config, critic, policy.data_rank.size)
    training.train(policy, objective, config.iterations)
    training.save(policy)
    figures = objective.figures
    summary = f"{config.iterations * config.rollouts:,} answers sampled, score {figures['score']:+.2f}"
    summary += f" at {figures['kl']:.2f} nats from the SFT model"
    return {
        "summary": summary,
        "iterations": config.iterations,
        "prompts": len(tasks),
        "precision": policy.precision,
        **figures,
    }


def _taught(inputs: Mapping[str, Artifact]) -> list[Task]:
    """What SFT taught, in the phrasings of `rl`; where that was a person's own examples, the questions of the pairs."""
    read = read_items(inputs["sft"].file(ITEMS)) if "sft" in inputs else []
    items = [item for item in read if item.aspect in MAIN_ASPECTS]
    tasks = [task_of(question, item.answer) for item in items for question in item.questions("rl")]
    if tasks:
        return tasks
    pairs = read_pairs(inputs["reward"].file(PAIRS), "train")
    prompts = {json.dumps(pair.prompt): pair.prompt for pair in pairs}
    return [Task(prompt) for _, prompt in sorted(prompts.items())]


def _reward_model(training: StageTraining, inputs: Mapping[str, Artifact], policy: Engine) -> Reward:
    model, scale = load_reward_model(inputs["reward"].path / "model", policy.device)
    return ModelReward(ModelOnDevice(model, policy.device, policy.precision), scale, training.tokenizer.pad)
