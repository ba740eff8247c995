"""Each method of alignment with one call, from a notebook or a script. Every call trains the given model in place."""

import copy
import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from torch import nn

from groundup.alignment.answers import Answer
from groundup.alignment.configuration import GrpoConfig, PolicyConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy
from groundup.alignment.data.examples import answer_ids, ask, fitted, prompt_ids
from groundup.alignment.data.records import Task, task_of
from groundup.alignment.labelled import LabelledObjective, labels_of
from groundup.alignment.losses import RankingLoss
from groundup.alignment.policy import PolicyObjective
from groundup.alignment.preference import PreferenceObjective
from groundup.alignment.rankings import ranked
from groundup.alignment.reference import referred
from groundup.alignment.reward import RewardModel, RewardObjective
from groundup.alignment.rewards.reward import FunctionReward, Reward
from groundup.alignment.rollout import Sampler
from groundup.alignment.sft import Lesson, SftObjective
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.device import best_device
from groundup.parallel.engine import ModelOnDevice
from groundup.parallel.single_device import SingleDevice
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.configuration import LoopConfig
from groundup.training.fitting import run
from groundup.training.objective import Objective
from groundup.training.optimizer import make_optimizer

Rows = list[dict[str, float]]
Pair = tuple[str, str, str]  # (prompt, chosen answer, rejected answer)


def fine_tune(
    model: CustomLanguageModel,
    tokenizer: Tokenizer,
    examples: Sequence[tuple[str, str]],
    *,
    epochs: float = 3.0,
    batch: int = 16,
    learning_rate: float = 3e-4,
    config: LoopConfig | None = None,
    seed: int = 0,
) -> Rows:
    """Supervised fine-tuning on (prompt, answer) texts; the loss is on answers and their stop token.

        >>> from groundup.alignment import fine_tune
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["one two three four"], vocabulary=264)
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=264, hidden_size=32, num_hidden_layers=1), seed=0)
        >>> rows = fine_tune(model, tokenizer, [("one", "two"), ("three", "four")], epochs=20, batch=2)
        >>> rows[-1]["loss"] < rows[0]["loss"]
        True

    Returns:
        A row of metrics for each step, as `groundup.training.fit` does.

    Raises:
        GroundupError: a prompt alone fills the model's context.
    """
    config = config or LoopConfig()
    lessons = [Lesson([_answer(model, tokenizer, prompt, answer)]) for prompt, answer in examples]
    objective = SftObjective(lessons, [], batch=batch, accumulate=config.accumulate, pad=tokenizer.pad, seed=seed)
    return run(model, objective, math.ceil(epochs * len(lessons) / batch), learning_rate, config)


def fit_reward(
    model: CustomLanguageModel,
    tokenizer: Tokenizer,
    rankings: Sequence[Sequence[str]],
    *,
    epochs: float = 1.0,
    batch: int = 16,
    learning_rate: float = 1e-4,
    centering: float = 0.01,
    loss: RankingLoss = "bradley_terry",
    config: LoopConfig | None = None,
    seed: int = 0,
) -> tuple[RewardModel, Rows]:
    """A reward model from (prompt, chosen, rejected) texts, or from (prompt, best, second, ..., worst), which starts
    from a copy of `model`.

        >>> from groundup.alignment import fit_reward
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["good bad"], vocabulary=264)
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=264, hidden_size=32, num_hidden_layers=1), seed=0)
        >>> reward, rows = fit_reward(model, tokenizer, [("?", "good", "bad")] * 8, epochs=20, learning_rate=1e-2)
        >>> rows[-1]["accuracy"]
        1.0

    Raises:
        GroundupError: a prompt alone fills the model's context.
    """
    config = config or LoopConfig()
    reward = RewardModel(copy.deepcopy(model))
    objective = RewardObjective(
        ranked(
            (_pair(model, tokenizer, (prompt, *pair)), number)
            for number, (prompt, *answers) in enumerate(rankings)
            for pair in combinations(answers, 2)
        ),
        [],
        centering=centering,
        loss=loss,
        batch=batch,
        accumulate=config.accumulate,
        pad=tokenizer.pad,
        seed=seed,
    )
    return reward, run(reward, objective, math.ceil(epochs * len(rankings) / batch), learning_rate, config)


def fit_preferences(
    model: CustomLanguageModel,
    tokenizer: Tokenizer,
    pairs: Sequence[Pair],
    *,
    loss: str = "sigmoid",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    nll: float = 0.0,
    epochs: float = 1.0,
    batch: int = 16,
    learning_rate: float = 1e-5,
    config: LoopConfig | None = None,
    seed: int = 0,
) -> Rows:
    """Direct preference optimisation (or a relative, by its name) on (prompt, chosen, rejected) texts.

        >>> from groundup.alignment import fit_preferences
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["good bad"], vocabulary=264)
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=264, hidden_size=32, num_hidden_layers=1), seed=0)
        >>> rows = fit_preferences(model, tokenizer, [("?", "good", "bad")] * 8, epochs=10, learning_rate=1e-3)
        >>> round(rows[0]["loss"], 3), rows[-1]["accuracy"]  # the model equals its reference at first: ln 2
        (0.693, 1.0)

    Args:
        loss: a name in `groundup.alignment.losses.PREFERENCE_LOSSES`, or `kto`.

    Raises:
        GroundupError: a prompt alone fills the model's context.
    """
    config = config or LoopConfig()
    encoded = [_pair(model, tokenizer, pair) for pair in pairs]
    reference = ModelOnDevice(copy.deepcopy(model).requires_grad_(False), best_device(), "fp32")
    drawing: dict[str, Any] = {"accumulate": config.accumulate, "pad": tokenizer.pad, "seed": seed}
    objective: Objective
    if loss == "kto":
        objective = LabelledObjective(labels_of(encoded), [], reference.model, beta=beta, batch=2 * batch, **drawing)
    else:
        given: dict[str, Any] = {"loss": loss, "beta": beta, "label_smoothing": label_smoothing, "nll": nll}
        known = referred(encoded, reference, tokenizer.pad)
        objective = PreferenceObjective(known, [], batch=batch, **given, **drawing)
    return run(model, objective, math.ceil(epochs * len(pairs) / batch), learning_rate, config)


def fit_policy(
    model: CustomLanguageModel,
    tokenizer: Tokenizer,
    tasks: Sequence[Task | str],
    reward: Reward | Callable[[Task, str], float],
    *,
    learning_rate: float = 1e-5,
    seed: int = 0,
    **settings: Any,
) -> Rows:
    """Reinforcement learning from a reward: `preset="grpo"`, `"ppo"`, `"rloo"`, `"dapo"`, `"dr_grpo"`, `"gspo"`, ...

        >>> from groundup.alignment import fit_policy
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["yes no"], vocabulary=264)
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=264, hidden_size=32, num_hidden_layers=1), seed=0)
        >>> short = lambda task, answer: -float(len(answer))
        >>> rows = fit_policy(model, tokenizer, ["say yes", "say no"], short, iterations=2, rollouts=16, group=8)
        >>> [row["step"] for row in rows], "kl" in rows[-1]
        ([1, 2], True)

    Args:
        tasks: prompts, or tasks with a right answer.
        reward: `function(task, text of the answer)`, or anything with the method `score` of `Reward`.
        settings: keys of a blueprint's `grpo:` section, among them `preset`, `iterations`, `rollouts`, `kl`.

    Returns:
        A row for each iteration: `score`, `kl` (nats per answer), `entropy`, `ended`, `answer_tokens`, ...

    Raises:
        GroundupError: the reward failed or is not finite, or training diverges.
    """
    kind = PolicyConfig if settings.get("preset") == "ppo" else GrpoConfig
    config = kind.model_validate(settings)
    given = [task_of(task) if isinstance(task, str) else task for task in tasks]
    critic = None
    trained: nn.Module = ValuedPolicy(model, config.critic_speed) if config.valued else model
    if config.advantage == "gae" and not config.valued:
        value = ScalarModel(copy.deepcopy(model))
        critic = SingleDevice(value, make_optimizer(config.optimizer), best_device(), "fp32")
    sampler = Sampler(
        given,
        [prompt_ids(task.prompt, tokenizer) for task in given],
        FunctionReward(reward, tokenizer) if callable(reward) else reward,
        copy.deepcopy(model).to(best_device()),
        config,
        stop=tokenizer.end,
        pad=tokenizer.pad,
        seed=seed,
    )
    return run(trained, PolicyObjective(sampler, config, critic), config.iterations, learning_rate, config)


def _answer(model: CustomLanguageModel, tokenizer: Tokenizer, prompt: str, answer: str) -> Answer:
    context = model.config.max_position_embeddings
    return fitted(ask(prompt, tokenizer), answer_ids(answer, tokenizer), context, f"the prompt {prompt[:60]!r}")


def _pair(model: CustomLanguageModel, tokenizer: Tokenizer, pair: Pair) -> tuple[Answer, Answer]:
    prompt, chosen, rejected = pair
    return _answer(model, tokenizer, prompt, chosen), _answer(model, tokenizer, prompt, rejected)
