"""The stages `ppo` and `grpo`: the SFT model is moved towards what a reward prefers."""

from collections.abc import Mapping, Sequence

from groundup.alignment.configuration import POLICY_QUESTIONS, GrpoConfig, PolicyConfig, PpoConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy
from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.examples import prompt_ids, skip_long_prompts
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.looks import Looks
from groundup.alignment.policy import PolicyObjective
from groundup.alignment.reward import load_reward_model
from groundup.alignment.rewards.reward import FunctionReward, Reward
from groundup.alignment.rewards.user_function import is_function, load_function
from groundup.alignment.rewards.verifiers import verify
from groundup.alignment.rollout import Sampler
from groundup.alignment.stage_tasks import main_items, reward_of, taught_tasks
from groundup.alignment.training import StageTraining
from groundup.artifacts import Artifact, Figures, Work
from groundup.errors import GroundupError
from groundup.parallel.engine import Engine


def ppo(config: PpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """With the reward model of the reward stage, and a critic that starts from it; writes `model/`."""
    training = StageTraining("ppo", config, inputs, "sft", work)
    policy = _policy(training, config)
    return _train_on_reward(training, config, inputs, policy)


def grpo(config: GrpoConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Without a critic, on a person's own tasks and their verifiers or as `ppo`; writes `model/`."""
    training = StageTraining("grpo", config, inputs, "sft", work)
    policy = _policy(training, config)
    if config.data is None:
        return _train_on_reward(training, config, inputs, policy)
    file = read_tasks(work.base / config.data.expanduser(), config.verifier)
    skip_long_prompts(file, training.tokenizer, training.model().config.max_position_embeddings)
    tasks = [task for _, task in file.records]
    own = load_function(config.verifier, work.base) if is_function(config.verifier) else None

    def score(task: Task, answer: str) -> float:
        return own(task, answer) if own is not None and task.verifier == config.verifier else verify(task, answer)

    figures = _train(training, config, inputs, policy, tasks, FunctionReward(score, training.tokenizer))
    return figures | {"summary": f"{figures['summary']}; {file.summary}", "data": file.figures()}


def _policy(training: StageTraining, config: PolicyConfig) -> Engine:
    """The policy to train, with a value head where that is the critic."""
    model = training.model()
    return training.engine(ValuedPolicy(model, config.critic_speed) if config.valued else model)


def _train_on_reward(
    training: StageTraining, config: PolicyConfig, inputs: Mapping[str, Artifact], policy: Engine
) -> Figures:
    """On what SFT taught, scored by the reward model, with looks at the true score.

    Raises:
        GroundupError: the reward model is no better than what costs nothing, and that is to be refused.
    """
    own = inputs["reward"].figures.get("own_answers", {})
    if own.get("better") is False and config.weak_reward == "refuse":
        names = {name: f"{one['accuracy']:.1%}" for name, one in own["free"].items()}
        raise GroundupError(
            f"the reward model ranks {own['reward']['accuracy']:.1%} of {own['pairs']} pairs of the SFT model's own "
            f"answers right, and without any training its summed log-probability ranks {names['log_probability']}, its "
            f"mean log-probability {names['mean_log_probability']} and the longer answer {names['longer']}",
            where=training.title,
            do=f"train the reward model longer or on more pairs, or set {training.title}.weak_reward: use",
        )
    reward = reward_of(training, inputs, policy)
    looks = _looks(training, config, inputs, reward)
    return _train(training, config, inputs, policy, taught_tasks(inputs), reward, looks)


def _looks(
    training: StageTraining, config: PolicyConfig, inputs: Mapping[str, Artifact], reward: Reward
) -> Looks | None:
    """At questions from the tune set about what was taught; None where SFT taught a person's own examples."""
    main = main_items(inputs)
    tasks = [task_of(item.questions("tune")[0], item.answer) for item in main[:: max(1, len(main) // POLICY_QUESTIONS)]]
    if not tasks:
        return None
    return Looks(
        tasks,
        [prompt_ids(task.prompt, training.tokenizer) for task in tasks],
        FunctionReward(verify, training.tokenizer),
        reward,
        max_answer_tokens=config.max_answer_tokens,
        stop=training.tokenizer.end,
    )


def _train(
    training: StageTraining,
    config: PolicyConfig,
    inputs: Mapping[str, Artifact],
    policy: Engine,
    tasks: Sequence[Task],
    reward: Reward,
    looks: Looks | None = None,
) -> Figures:
    critic = None
    # a critic of its own starts with the reward model's features, where there is one, and values of 0
    if config.advantage == "gae" and not config.valued:
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
    objective = PolicyObjective(sampler, config, critic, policy.data_rank.size, looks)
    seen = training.train(policy, objective, config.iterations)
    training.save(policy)
    figures = objective.figures
    summary = f"{config.iterations * config.rollouts:,} answers sampled, score {figures['score']:+.2f}"
    summary += f" at {figures['kl']:.2f} nats from the SFT model"
    if seen:
        summary += f"; {seen['heldout_truth']:.1%} right in phrasings to tune by"
    return {
        "summary": summary,
        "iterations": config.iterations,
        "prompts": len(tasks),
        "precision": policy.precision,
        **figures,
        **seen,
    }
