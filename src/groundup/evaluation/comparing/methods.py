"""The methods, each as a training of a copy of the SFT model with looks on the way.

    sft       SFT continued on the questions that reinforcement learning asks, with their true answers and about as much
              compute: the control
    dpo       on the reward stage's pairs
    dpo_own   on pairs of the SFT model's own answers: the best against the worst under the reward model
    ppo, grpo against the reward model

All but `sft` have a weight of the KL, `beta`.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from groundup.alignment.answers import Answer
from groundup.alignment.configuration import DpoConfig, GrpoConfig, OwnAnswersConfig, PolicyConfig, PpoConfig, SftConfig
from groundup.alignment.critic import ScalarModel, ValuedPolicy, language_of
from groundup.alignment.data.examples import answer_ids, fitted, prompt_ids
from groundup.alignment.data.records import Task
from groundup.alignment.labelled import label_objective, labels_of
from groundup.alignment.own_answers import best_and_worst
from groundup.alignment.pair_objective import EncodedPair
from groundup.alignment.policy import PolicyObjective
from groundup.alignment.preference import preference_objective
from groundup.alignment.reference import referred
from groundup.alignment.rewards.reward import Reward
from groundup.alignment.rollout import Sampler
from groundup.alignment.sft import Lesson, SftObjective
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.data_rank import DataRank
from groundup.parallel.device import best_device
from groundup.parallel.engine import Engine, ModelOnDevice, Statistics, StepResult
from groundup.parallel.single_device import SingleDevice
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.configuration import LoopConfig
from groundup.training.fitting import run
from groundup.training.objective import Objective
from groundup.training.optimizer import make_optimizer

METHODS = ("sft", "dpo", "dpo_own", "ppo", "grpo")
MAX_EPOCHS = 20
FORWARDS = 5  # of a sampled answer: sampling, reward, and the scores of policy, reference and critic
Look = Callable[[int, float, CustomLanguageModel], None]  # (step, processor seconds of training so far, policy)


class ObservedObjective(Objective):
    """Another objective, with looks at the model before some of its steps. They take no part in its random numbers or
    its cost."""

    def __init__(self, inner: Objective, every: int, look: Look, spent: float) -> None:
        self.inner, self.every, self.look = inner, every, look
        self.unit, self.updates = inner.unit, inner.updates
        self.began = time.process_time() - spent

    @property
    def seconds(self) -> float:
        """Of the processor, without the looks."""
        return time.process_time() - self.began

    def prepare(self, step: int, engine: Engine) -> dict[str, float]:
        if step and step % self.every == 0:
            seconds = self.seconds
            with engine.whole() as model:
                self.look(step, seconds, language_of(model))
            self.began = time.process_time() - seconds
        return self.inner.prepare(step, engine)

    def batches(self, update: int, data_rank: DataRank) -> Sequence[Any]:
        return self.inner.batches(update, data_rank)

    def weight(self, batch: Any) -> float:
        return self.inner.weight(batch)

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, Statistics]:
        return self.inner.loss(model, batch)

    def after(self, update: int, batches: Sequence[Any], learning_rate: float, result: StepResult) -> dict[str, float]:
        return self.inner.after(update, batches, learning_rate, result)


@dataclass(frozen=True)
class Ingredients:
    """What all methods start from."""

    start: Callable[[], CustomLanguageModel]
    """A new copy of the SFT model."""
    critic: Callable[[], CustomLanguageModel]
    """A new copy of the model that PPO's critic starts from."""
    tokenizer: Tokenizer
    reward: Reward
    tasks: Sequence[Task]
    """Of the training, with true answers, or those that a person preferred, which only `sft` reads."""
    pairs: Sequence[EncodedPair]
    configs: Mapping[str, LoopConfig]
    """The sections `sft`, `dpo`, `ppo` and `grpo`."""
    looks: int
    """At each training, the last one among them."""


class MethodTrainer:
    """Trains copies of one SFT model."""

    def __init__(self, given: Ingredients) -> None:
        self.given = given
        self.device = best_device()

    def train(self, method: str, beta: float | None, seed: int, look: Look) -> None:
        """Train, and look at the policy at equal distances and at the end.

        Raises:
            GroundupError: training diverges.
        """
        began = time.process_time()
        config = self.given.configs["dpo" if method == "dpo_own" else method]
        objective, steps = self._objective(method, config, beta, seed)
        model: nn.Module = self.given.start()
        if isinstance(config, PolicyConfig) and config.valued:
            model = ValuedPolicy(self.given.start(), config.critic_speed)
        watched = ObservedObjective(objective, math.ceil(steps / self.given.looks), look, time.process_time() - began)
        assert config.learning_rate is not None
        run(model, watched, steps, config.learning_rate, config)
        look(steps, watched.seconds, language_of(model.eval()))

    def _objective(self, method: str, config: LoopConfig, beta: float | None, seed: int) -> tuple[Objective, int]:
        """(objective, steps)."""
        pad = self.given.tokenizer.pad
        if isinstance(config, SftConfig):
            context = self.given.start().config.max_position_embeddings
            lessons = [Lesson([self._answer(task, context)]) for task in self.given.tasks]
            batch = config.batch_examples
            objective = SftObjective(lessons, [], batch=batch, accumulate=config.accumulate, pad=pad, seed=seed)
            return objective, self._steps(len(lessons), batch)
        if isinstance(config, DpoConfig):
            pairs = list(self.given.pairs) if method == "dpo" else self._own_pairs(seed)
            reference = self.given.start().to(self.device).requires_grad_(False)
            chosen = config if beta is None else config.model_copy(update={"beta": beta})
            preference: Objective
            if chosen.loss == "kto":
                preference = label_objective(chosen, labels_of(pairs), [], reference, pad=pad, seed=seed)
            else:
                known = referred(pairs, ModelOnDevice(reference, self.device, "fp32"), pad)
                preference = preference_objective(chosen, known, [], pad=pad, seed=seed)
            return preference, math.ceil(config.epochs * len(pairs) / config.batch_pairs)
        assert isinstance(config, PolicyConfig)
        policy = config.model_copy(update={} if beta is None else {"kl": beta})
        critic = None
        if policy.advantage == "gae" and not policy.valued:
            value = ScalarModel(self.given.critic())
            critic = SingleDevice(value, make_optimizer(policy.optimizer), self.device, "fp32")
        sampler = Sampler(
            self.given.tasks,
            [prompt_ids(task.prompt, self.given.tokenizer) for task in self.given.tasks],
            self.given.reward,
            self.given.start().to(self.device),
            policy,
            stop=self.given.tokenizer.end,
            pad=pad,
            seed=seed,
        )
        return PolicyObjective(sampler, policy, critic), policy.iterations

    def _steps(self, examples: int, batch: int) -> int:
        """Of SFT: about PPO's compute, but no example is repeated more than `MAX_EPOCHS` times."""
        ppo = self.given.configs["ppo"]
        assert isinstance(ppo, PolicyConfig)
        trained = 2 if ppo.advantage == "gae" and not ppo.valued else 1
        passes = FORWARDS / 3 + ppo.epochs * trained
        return max(1, math.ceil(min(passes * ppo.iterations * ppo.rollouts, MAX_EPOCHS * examples) / batch))

    def _answer(self, task: Task, context: int) -> Answer:
        tokenizer = self.given.tokenizer
        prompt = prompt_ids(task.prompt, tokenizer)
        return fitted(prompt, answer_ids(task.answer, tokenizer), context, f"the question {task.question[:60]!r}")

    def _own_pairs(self, seed: int) -> list[EncodedPair]:
        """Of each task whose sampled answers have different scores."""
        ppo = self.given.configs["ppo"]
        assert isinstance(ppo, PolicyConfig)
        own = OwnAnswersConfig(temperature=ppo.temperature, max_answer_tokens=ppo.max_answer_tokens)
        start = ModelOnDevice(self.given.start().to(self.device), self.device, "fp32")
        found = best_and_worst(start, self.given.tasks, self.given.reward, own, self.given.tokenizer, seed=seed)
        return [pair for pair in found if pair is not None]


def configurations(sft: SftConfig, dpo: DpoConfig, ppo: PpoConfig, grpo: GrpoConfig) -> dict[str, LoopConfig]:
    """The sections by the names of their methods."""
    return {"sft": sft, "dpo": dpo, "ppo": ppo, "grpo": grpo}
