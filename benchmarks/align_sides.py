"""What the sides of the benchmark `align` do: the same training from the same files by groundup and by TRL."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Literal

BATCH, GROUP, LEARNING_RATE = 16, 8, 1e-4
PACKED_ROWS, PACKED_LENGTH = 4, 256  # about as many tokens as BATCH examples
PAD, BOS, END = 0, 1, 2
FIRST = 3  # of the tokens that examples are made of


@dataclass(frozen=True)
class AlignJob:
    """What all sides train."""

    parameters: int
    vocabulary: int
    examples: int
    prompts: int  # of GRPO, a training step for every eight
    answer: int  # tokens that GRPO samples
    precision: Literal["fp32", "bf16"] = "fp32"
    folder: str = ""


JOB = AlignJob(4_000_000, 4096, 160, 32, 32)
CHECK = AlignJob(1_000_000, 512, 32, 8, 4)


def make(values: dict) -> None:
    """Write the model, and examples whose lengths scatter as those of short questions and answers do."""
    from groundup.model import CustomLanguageModel, save_pretrained
    from groundup.planning.size import shape_for

    job = AlignJob(**values)
    config = shape_for(job.parameters, job.vocabulary).model_copy(update={"max_position_embeddings": PACKED_LENGTH})
    save_pretrained(CustomLanguageModel(config, seed=0), f"{job.folder}/model")
    rng = random.Random(0)

    def tokens(low: int, high: int) -> list[int]:
        return [rng.randrange(FIRST, job.vocabulary) for _ in range(round(low * (high / low) ** rng.random()))]

    rows = [[tokens(8, 64), tokens(4, 64), tokens(4, 64)] for _ in range(job.examples)]
    Path(job.folder, "rows.json").write_text(json.dumps(rows))


def _rows(job: AlignJob) -> list[tuple[list[int], list[int], list[int]]]:
    return [(p, a, b) for p, a, b in json.loads(Path(job.folder, "rows.json").read_text())]


def _timed(train: Callable[[], object], tokens: int) -> dict[str, Any]:
    """A first training warms up, the second one counts."""
    train()
    wall, cpu = perf_counter(), process_time()
    train()
    wall, cpu = perf_counter() - wall, process_time() - cpu
    return {"speed": tokens / wall, "CPU time": 1000 * cpu / tokens}


def our_sft(values: dict) -> dict[str, Any]:
    """An epoch in the order that the sft stage has by default."""
    from groundup.alignment.answers import Answer
    from groundup.alignment.sft import Lesson, SftObjective

    job = AlignJob(**values)
    lessons = [Lesson([Answer(prompt, [*answer, END])]) for prompt, answer, _ in _rows(job)]
    objective = SftObjective(lessons, [], batch=BATCH, accumulate=1, pad=PAD, seed=0)
    tokens = sum(len(lesson.example(0)) for lesson in lessons)
    return _timed(_training(job, lambda: objective, job.examples // BATCH), tokens)


def our_dpo(values: dict) -> dict[str, Any]:
    """An epoch over pairs, after the reference's log-probabilities, which count."""
    from groundup.alignment.answers import Answer
    from groundup.alignment.preference import PreferenceObjective
    from groundup.alignment.reference import referred
    from groundup.model import from_pretrained
    from groundup.parallel.device import best_device
    from groundup.parallel.engine import ModelOnDevice

    job = AlignJob(**values)
    pairs = [(Answer(prompt, [*good, END]), Answer(prompt, [*bad, END])) for prompt, good, bad in _rows(job)]
    start = from_pretrained(f"{job.folder}/model").requires_grad_(False)

    def objective() -> PreferenceObjective:
        known = referred(pairs, ModelOnDevice(start, best_device(), job.precision), PAD)
        return PreferenceObjective(known, [], batch=BATCH // 2, accumulate=1, pad=PAD, seed=0)

    tokens = sum(len(answer) for pair in pairs for answer in pair)
    return _timed(_training(job, objective, 2 * job.examples // BATCH), tokens)


def our_grpo(values: dict) -> dict[str, Any]:
    """One update for each rollout of eight prompts in groups of eight; no answer ends early."""
    from groundup.alignment.configuration import GrpoConfig

    job = AlignJob(**values)
    settings = {"preset": "grpo", "rollouts": BATCH // 2 * GROUP, "minibatch": BATCH // 2 * GROUP, "group": GROUP}
    config = GrpoConfig(**settings, kl=0.0, temperature=1.0, max_answer_tokens=job.answer, epochs=1)
    steps = job.prompts // (BATCH // 2)
    return _timed(_training(job, lambda: _policy_objective(job, config), steps), job.prompts * GROUP * job.answer)


def our_ppo(values: dict, pack: bool, critic: Literal["separate", "trunk"]) -> dict[str, float]:
    """Seconds of an iteration of 128 answers, the best of three after a first one."""
    from groundup.alignment.configuration import PpoConfig
    from groundup.alignment.critic import ValuedPolicy
    from groundup.model import from_pretrained
    from groundup.parallel.device import best_device
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.optimizer import make_optimizer

    job = AlignJob(**values)
    config = PpoConfig(rollouts=128, max_answer_tokens=min(16, job.answer), pack=pack, critic=critic)
    objective = _policy_objective(job, config)
    model = from_pretrained(f"{job.folder}/model")
    trained = ValuedPolicy(model, config.critic_speed) if config.valued else model
    engine = SingleDevice(trained, make_optimizer(config.optimizer), best_device(), "fp32")
    found = []
    for step in range(4):
        wall, cpu = perf_counter(), process_time()
        objective.prepare(step, engine)
        for update in range(step * objective.updates, (step + 1) * objective.updates):
            batches = objective.batches(update)
            weights = [objective.weight(batch) for batch in batches]
            result = engine.train_step(batches, weights, objective.loss, 1e-6, config.clip_norm)
            objective.after(update, batches, 1e-6, result)
        found.append((perf_counter() - wall, process_time() - cpu))
    wall, cpu = (min(figures) for figures in zip(*found[1:], strict=True))
    return {"seconds": wall, "CPU seconds": cpu}


def _policy_objective(job: AlignJob, config: Any) -> Any:
    """Against a reward that costs nothing in GRPO, and a reward model and a critic of the policy's size in PPO."""
    from groundup.alignment.critic import ScalarModel
    from groundup.alignment.data.records import task_of
    from groundup.alignment.policy import PolicyObjective
    from groundup.alignment.reward import RewardModel, Scale
    from groundup.alignment.rewards.model import ModelReward
    from groundup.alignment.rollout import Sampler
    from groundup.model import from_pretrained
    from groundup.parallel.device import best_device
    from groundup.parallel.engine import ModelOnDevice
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.optimizer import make_optimizer

    critic = None
    reward: Any = _SmallTokens(job.vocabulary)
    path, device = f"{job.folder}/model", best_device()
    if config.advantage == "gae":
        judge = RewardModel(from_pretrained(path)).to(device)
        reward = ModelReward(ModelOnDevice(judge, device, "fp32"), Scale(0.0, 1.0), PAD)
        if not config.valued:
            critic = SingleDevice(ScalarModel(from_pretrained(path)), make_optimizer(config.optimizer), device, "fp32")
    prompts = [prompt for prompt, _, _ in _rows(job)]
    reference = from_pretrained(path).to(device)
    tasks = [task_of("")] * len(prompts)
    sampler = Sampler(tasks, prompts, reward, reference, config, stop=job.vocabulary, pad=PAD, seed=0)
    return PolicyObjective(sampler, config, critic)


class _SmallTokens:
    """The fraction of tokens in the vocabulary's first half."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary

    def score(self, tasks: Any, answers: Any) -> Any:
        import torch

        return torch.tensor([small_tokens(answer.answer, self.vocabulary) for answer in answers])


def small_tokens(ids: list[int], vocabulary: int) -> float:
    """The reward of both sides."""
    return sum(2 * token < vocabulary for token in ids) / len(ids)


def _training(job: AlignJob, objective: Callable[[], Any], steps: int) -> Callable[[], object]:
    from groundup.model import from_pretrained
    from groundup.training.fitting import run

    model = from_pretrained(f"{job.folder}/model")
    return lambda: run(model, objective(), steps, LEARNING_RATE, precision=job.precision)


def trl_sft(values: dict, way: str) -> dict[str, Any]:
    """The same epoch by TRL's SFTTrainer."""
    import trl
    from datasets import Dataset

    job = AlignJob(**values)
    rows = [{"prompt": _text(p), "completion": _text(a, before=True)} for p, a, _ in _rows(job)]
    settings: dict[str, Any] = {"max_length": PACKED_LENGTH, "completion_only_loss": True}
    if way == "packed":
        settings |= {"packing": True, "per_device_train_batch_size": PACKED_ROWS}
    arguments = trl.SFTConfig(**_common(job, way) | settings)
    trainer = trl.SFTTrainer(
        _model(job), args=arguments, train_dataset=Dataset.from_list(rows), processing_class=_words(job)
    )
    return _timed(trainer.train, sum(len(p) + len(a) + 1 for p, a, _ in _rows(job)))


def trl_dpo(values: dict, way: str) -> dict[str, Any]:
    """The same epoch by TRL's DPOTrainer."""
    import trl
    from datasets import Dataset

    job = AlignJob(**values)
    rows = [
        {"prompt": _text(p), "chosen": _text(a, before=True), "rejected": _text(b, before=True), "length": len(p + a)}
        for p, a, b in _rows(job)
    ]
    settings = {"max_length": PACKED_LENGTH, "per_device_train_batch_size": BATCH // 2}
    arguments = trl.DPOConfig(**_common(job, way) | settings)
    data = Dataset.from_list(rows)
    trainer = trl.DPOTrainer(_model(job), args=arguments, train_dataset=data, processing_class=_words(job))
    return _timed(trainer.train, sum(2 * len(p) + len(a) + len(b) + 2 for p, a, b in _rows(job)))


def trl_grpo(values: dict, way: str) -> dict[str, Any]:
    """The same rollouts and updates by TRL's GRPOTrainer."""
    import trl
    from datasets import Dataset

    job = AlignJob(**values)
    rows = [{"prompt": _text(prompt)} for prompt, _, _ in _rows(job)[: job.prompts]]
    settings = {
        "per_device_train_batch_size": BATCH // 2 * GROUP,
        "num_generations": GROUP,
        "max_completion_length": job.answer,
        "beta": 0.0,
        "loss_type": "grpo",
        "temperature": 1.0,
        "generation_kwargs": {"min_new_tokens": job.answer},
    }

    def reward(completion_ids: list[list[int]], **others: Any) -> list[float]:
        return [small_tokens(ids, job.vocabulary) for ids in completion_ids]

    trainer = trl.GRPOTrainer(
        _model(job),
        reward_funcs=reward,
        args=trl.GRPOConfig(**_common(job, way) | settings),
        train_dataset=Dataset.from_list(rows),
        processing_class=_words(job),
    )
    return _timed(trainer.train, job.prompts * GROUP * job.answer)


def _common(job: AlignJob, way: str) -> dict[str, Any]:
    """What makes TRL fast, and silent."""
    return {
        "output_dir": f"{job.folder}/trl",
        "use_cpu": True,
        "bf16": job.precision == "bf16",
        "gradient_checkpointing": False,
        "per_device_train_batch_size": BATCH,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "train_sampling_strategy": "group_by_length" if way == "group_by_length" else "random",
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def _text(ids: list[int], before: bool = False) -> str:
    return " " * before + " ".join(f"w{token}" for token in ids)


def _words(job: AlignJob) -> Any:
    """A tokenizer whose word wN is token N."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    kind: Any = PreTrainedTokenizerFast
    made = Tokenizer(models.WordLevel({f"w{index}": index for index in range(job.vocabulary)}, unk_token="w3"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return kind(
        tokenizer_object=made,
        pad_token=f"w{PAD}",
        bos_token=f"w{BOS}",
        eos_token=f"w{END}",
        unk_token="w3",
    )


def _model(job: AlignJob) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(f"{job.folder}/model", dtype=torch.float32)
