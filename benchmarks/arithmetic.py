"""`make bench NAME=arithmetic`: what GRPO and PPO add to a model that fine-tuning has taught to add, from a checker.

A llama of .6 million parameters learns sums of two numbers of two or three digits, asked as `045+123=` and answered
units first (`8610`), from right answers, until it gives them to a third of the sums. It continues by reinforcement
learning: it answers other sums, and the verifier `exact` says which answers are right. All sums that are measured are
in neither training. Settings were chosen on the seeds from 100 on and the sums of `tune`; what is reported is of the
seeds 0 to 2 and the sums of `test`.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from benchmarks.measure import in_process
from benchmarks.rows import Row, compare

if TYPE_CHECKING:
    from groundup.alignment import Task
    from groundup.model import CustomLanguageModel
    from groundup.tokenizer import Tokenizer

Sum = tuple[int, int]
Split = Literal["train", "tune", "test"]
SEEDS = (0, 1, 2)
SAMPLES = 16  # answers to each question, of which pass@1 is the mean and pass@16 whether any is right
LIMIT = 300.0  # seconds that the methods are to need at most
MUON = {"name": "muon", "betas": (0.9, 0.95), "weight_decay": 0.0}  # of fine-tuning: AdamW learns nothing so soon
FINE_TUNING_RATE, WARMUP = 5e-3, 20
LOOK_EVERY, LOOKED_AT, ENOUGH = 10, 200, 0.3  # fine-tuning ends at the first look at which so many are right
ADAM = {"betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.0}


@dataclass(frozen=True)
class ArithmeticJob:
    """What is trained, and how far it is measured."""

    seed: int
    steps: int  # of fine-tuning, at most
    batch: int
    iterations: int  # of reinforcement learning; 0: as many as `METHODS` says
    rollouts: int
    measured: int  # sums
    split: Literal["tune", "test"] = "test"
    folder: str = ""


JOB = ArithmeticJob(seed=0, steps=400, batch=128, iterations=0, rollouts=1024, measured=500)
CHECK = ArithmeticJob(seed=0, steps=4, batch=16, iterations=2, rollouts=32, measured=16)
COMMON: dict[str, Any] = {
    "max_answer_tokens": 6,
    "temperature": 1.0,
    "kl": 0.0,
    "missing_end_penalty": 0.0,
    "warmup": 0.0,
    "schedule": "linear",
    "pack": False,  # all rows are alike
    "epochs": 2,
    "optimizer": ADAM,
}
METHODS: dict[str, tuple[dict[str, Any], float, int]] = {  # (settings, learning rate, iterations)
    "grpo": ({"preset": "grpo", "group": 8}, 3e-4, 80),
    "ppo": ({"preset": "ppo", "critic": "trunk", "gae_lambda": 1.0}, 2e-4, 60),
}


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for each method against the fine-tuned model that it starts from; sums are drawn, not read from `data`."""
    from groundup.machine import usable_cores

    cores = usable_cores()
    seeds = SEEDS[:1] if check else SEEDS
    with TemporaryDirectory() as folder:
        start, trained = [], {name: list[dict[str, float]]() for name in METHODS}
        for seed in seeds:
            job = replace(CHECK if check else JOB, seed=seed, folder=f"{folder}/{seed}")
            start.append(in_process(fine_tuned, asdict(job), cores=cores).value)
            for name in METHODS:
                trained[name].append(in_process(reinforced, asdict(job), name, cores=cores).value)
    for name, figures in trained.items():
        yield from rows(f"{name}, {len(seeds)} seeds", start, figures)


def rows(case: str, start: Sequence[dict[str, float]], end: Sequence[dict[str, float]]) -> Iterator[Row]:
    """Means over the seeds, and the worst greedy one; the peer is the fine-tuned model, or the time there is."""

    def mean(of: Sequence[dict[str, float]], metric: str) -> float:
        return fmean(one[metric] for one in of)

    least = min(one["greedy"] for one in start), min(one["greedy"] for one in end)
    before = "fine-tuned model"
    yield compare(case, "greedy, the lowest of the seeds", least[1], least[0] or 1e-9, before, "", "higher")
    for metric in ("greedy", "sampled pass@1", f"sampled pass@{SAMPLES}"):
        yield compare(case, metric, mean(end, metric), mean(start, metric) or 1e-9, before, "", "higher")
    for metric in ("seconds", "CPU seconds"):
        yield compare(case, metric, mean(end, metric), LIMIT, "the time there is", "s", "lower")
    yield compare(
        case,
        "CPU seconds of both",
        mean(start, "CPU seconds") + mean(end, "CPU seconds"),
        mean(start, "CPU seconds"),
        before,
        "s",
        "lower",
    )


def fine_tuned(values: dict) -> dict[str, float]:
    """Train the model that reinforcement learning starts from, until enough sums to tune by are right, and write it to
    the job's folder; its figures."""
    from groundup.alignment.answers import Answer
    from groundup.alignment.data.examples import answer_ids, ask
    from groundup.alignment.sft import Lesson, SftObjective, answered
    from groundup.model import CustomLanguageModel, LLMConfig, save_pretrained
    from groundup.parallel.device import best_device
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.configuration import OptimizerConfig
    from groundup.training.optimizer import make_optimizer

    job, words = ArithmeticJob(**values), tokenizer()
    config = LLMConfig(
        vocab_size=words.vocabulary_size,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=32,
    )
    model = CustomLanguageModel(config, seed=job.seed)
    engine = SingleDevice(model, make_optimizer(OptimizerConfig.model_validate(MUON)), best_device(), "fp32")

    def examples(split: Split, count: int) -> list[Answer]:
        drawn = sums(split, count, job.seed)
        return [Answer(ask(question(one), words), answer_ids(answer(one), words)) for one in drawn]

    lessons = [Lesson([one]) for one in examples("train", job.steps * job.batch)]
    objective = SftObjective(lessons, [], batch=job.batch, accumulate=1, pad=words.pad, seed=job.seed)
    tune = examples("tune", LOOKED_AT)

    steps = 0

    def train() -> None:
        nonlocal steps
        for step in range(job.steps):
            steps += 1
            batches = objective.batches(step)
            rate = FINE_TUNING_RATE * min(1, steps / WARMUP)
            engine.train_step(batches, [objective.weight(one) for one in batches], objective.loss, rate, 1.0)
            if steps % LOOK_EVERY == 0 and answered(engine, tune, words)["exact_match"] >= ENOUGH:
                break

    figures = _timed(train) | {"steps": steps}
    save_pretrained(model, job.folder)
    return figures | measured(model, words, job)


def reinforced(values: dict, method: str, **changes: Any) -> dict[str, float]:
    """Train it by a method, and measure it."""
    from groundup.alignment import fit_policy
    from groundup.alignment.rewards.verifiers import verify
    from groundup.model import from_pretrained

    job, words = ArithmeticJob(**values), tokenizer()
    model = from_pretrained(job.folder)
    given, rate, iterations = METHODS[method]
    settings = COMMON | given | {"iterations": job.iterations or iterations, "rollouts": job.rollouts} | changes
    rate = settings.pop("learning_rate", rate)
    settings.setdefault("minibatch", job.rollouts // 2)
    asked = settings["iterations"] * job.rollouts // settings.get("group", 1)
    tasks = [task(one) for one in sums("train", asked, job.seed + 50)]
    figures = _timed(lambda: fit_policy(model, words, tasks, verify, learning_rate=rate, seed=job.seed, **settings))
    return figures | measured(model, words, job)


def _timed(train: Any) -> dict[str, float]:
    wall, cpu = perf_counter(), process_time()
    train()
    return {"seconds": perf_counter() - wall, "CPU seconds": process_time() - cpu}


def measured(model: "CustomLanguageModel", words: "Tokenizer", job: ArithmeticJob) -> dict[str, float]:
    """The fraction of the sums that are answered right: at temperature 0, and of several answers drawn at 1."""
    from groundup.alignment.data.examples import ask
    from groundup.alignment.rewards.verifiers import verify
    from groundup.inference import Sampling
    from groundup.inference.continuation import continue_prompts

    asked = sums(job.split, job.measured, 0)

    def right(each: int, sampling: Sampling) -> list[list[float]]:
        repeated = [one for one in asked for _ in range(each)]
        given = continue_prompts(
            model,
            [ask(question(one), words) for one in repeated],
            stop={words.end},
            max_tokens=COMMON["max_answer_tokens"],
            sampling=sampling,
            seeds=range(len(repeated)),
        )
        found = [
            verify(task(one), words.decode(got.tokens[:-1] if got.ended else got.tokens))
            for one, got in zip(repeated, given, strict=True)
        ]
        return [found[first : first + each] for first in range(0, len(found), each)]

    drawn = right(SAMPLES, Sampling(1.0))
    return {
        "greedy": fmean(one for (one,) in right(1, Sampling())),
        "sampled pass@1": fmean(fmean(of) for of in drawn),
        f"sampled pass@{SAMPLES}": fmean(max(of) for of in drawn),
    }


def sums(split: Split, count: int, seed: int) -> list[Sum]:
    """Drawn ones; which split a sum is of depends on its numbers alone: a twentieth each is of `tune` and `test`."""
    rng, found = random.Random(f"{split} {seed}"), list[Sum]()
    while len(found) < count:
        one = rng.randrange(10, 1000), rng.randrange(10, 1000)
        if {0: "tune", 1: "test"}.get(crc32(question(one).encode()) % 20, "train") == split:
            found.append(one)
    return found


def question(one: Sum) -> str:
    """`045+123=`: each digit at its own position."""
    return f"{one[0]:03d}+{one[1]:03d}="


def answer(one: Sum) -> str:
    """Units first, as one adds."""
    return f"{sum(one):04d}"[::-1]


def task(one: Sum) -> "Task":
    """The sum with its checker."""
    from groundup.alignment.data.records import task_of

    return task_of(question(one), answer(one), "exact")


def tokenizer() -> "Tokenizer":
    """A token for each byte."""
    from groundup.tokenizer import Tokenizer

    return Tokenizer.train([""], vocabulary=262)
