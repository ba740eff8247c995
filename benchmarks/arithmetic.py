"""Reinforcement learning from a verifiable reward, start to end on a CPU: a small model learns to add.

    python -m benchmarks.arithmetic [--seeds 0 1 2] [--methods grpo ppo] [--json FILE] [--set tune]

A model of .6 million parameters is fine-tuned on sums of numbers of two and three digits until it gets some 40 % of
new ones right, and then learns by GRPO or PPO from nothing but whether its answers are right. `012+345` is asked, and
the answer is `7530`: the units come first, as one adds. Four sets of sums are disjoint: of fine-tuning, of
reinforcement learning, those that settings were chosen by (`tune`), and those that measure (`test`).

Printed are how many sums are right at temperature 0 (greedy), of single answers drawn at temperature 1 (pass@1), and
how many have a right one among 8 (pass@8), with the processor seconds of each training.
"""

import argparse
import copy
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter, process_time
from typing import Any

from groundup.alignment.data.records import Task, task_of
from groundup.artifacts.durable import write_text
from groundup.model import CustomLanguageModel, LLMConfig
from groundup.shards.order import samples_at
from groundup.tokenizer.tokenizer import Tokenizer

LOW, HIGH = 10, 1000  # operands
SETS = {"sft": 64_000, "rl": 20_000, "tune": 400, "test": 1000}
ANSWER_TOKENS = 6
SAMPLES = 8
TIMES = ("s", "CPU s")
SHAPE = {"hidden_size": 128, "num_hidden_layers": 3, "max_position_embeddings": 24}
SFT: dict[str, Any] = {"batch": 128, "learning_rate": 2e-3}
COMMON: dict[str, Any] = {
    "temperature": 1.0,
    "kl": 0.0,
    "max_answer_tokens": ANSWER_TOKENS,
    "schedule": "linear",
    "warmup": 0.0,
    "optimizer": {"betas": (0.9, 0.99), "weight_decay": 0.0, "eps": 1e-5},
}
METHODS: dict[str, dict[str, Any]] = {
    "grpo": {"iterations": 60, "rollouts": 1024, "group": 8, "minibatch": 1024, "learning_rate": 2e-4},
    "ppo": {"iterations": 60, "rollouts": 1024, "minibatch": 512, "gae_lambda": 1.0, "learning_rate": 1e-4},
}


def sums(name: str) -> list[Task]:
    """The sums of a set, in an order drawn once for all of them."""
    first = 0
    for other, count in SETS.items():
        if other == name:
            return [_sum(int(number)) for number in samples_at(first, count, (HIGH - LOW) ** 2, seed=0)]
        first += count
    raise KeyError(name)


def _sum(number: int) -> Task:
    a, b = (LOW + part for part in divmod(number, HIGH - LOW))
    return task_of(f"{a:03}+{b:03}", f"{a + b:04}"[::-1])


def started(seed: int, tokenizer: Tokenizer) -> CustomLanguageModel:
    """A model that has been fine-tuned on each sum of the set `sft` once."""
    from groundup.alignment import fine_tune
    from groundup.training.configuration import LoopConfig, OptimizerConfig

    config = LLMConfig.like("qwen3", vocab_size=tokenizer.vocabulary_size, **SHAPE)
    model = CustomLanguageModel(config, seed=seed)
    examples = [(task.question, task.answer) for task in sums("sft")]
    loop = LoopConfig(optimizer=OptimizerConfig(weight_decay=0.0))
    fine_tune(model, tokenizer, examples, epochs=1, config=loop, seed=seed, **SFT)
    return model


def improved(model: CustomLanguageModel, tokenizer: Tokenizer, method: str, seed: int) -> CustomLanguageModel:
    """A copy of the model after reinforcement learning on the sums of `rl`."""
    from groundup.alignment import fit_policy
    from groundup.alignment.rewards.verifiers import verify

    policy = copy.deepcopy(model)
    fit_policy(policy, tokenizer, sums("rl"), verify, seed=seed, preset=method, **COMMON | METHODS[method])
    return policy


def measured(model: CustomLanguageModel, tokenizer: Tokenizer, tasks: Sequence[Task]) -> dict[str, float]:
    """`greedy`, `pass@1` and `pass@8`."""
    from groundup.alignment.data.examples import prompt_ids
    from groundup.alignment.rewards.verifiers import verify
    from groundup.inference.continuation import continue_prompts
    from groundup.inference.sampling import GREEDY, Sampling

    def right(asked: Sequence[Task], sampling: Sampling) -> list[float]:
        found = continue_prompts(
            model.eval(),
            [prompt_ids(task.prompt, tokenizer) for task in asked],
            stop={tokenizer.end},
            max_tokens=ANSWER_TOKENS,
            sampling=sampling,
            seeds=range(len(asked)),
        )
        texts = [tokenizer.decode(one.tokens, skip_special=True) for one in found]
        return [verify(task, text) for task, text in zip(asked, texts, strict=True)]

    drawn = right([task for task in tasks for _ in range(SAMPLES)], Sampling(temperature=1.0))
    some = [max(drawn[first : first + SAMPLES]) for first in range(0, len(drawn), SAMPLES)]
    return {"greedy": fmean(right(tasks, GREEDY)), "pass@1": fmean(drawn), f"pass@{SAMPLES}": fmean(some)}


def race(seed: int, methods: Sequence[str], tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """The figures of fine-tuning and of each method after it, from one seed."""
    tokenizer = Tokenizer([])
    found = {}
    wall, cpu = perf_counter(), process_time()
    start = started(seed, tokenizer)
    found["sft"] = {"CPU s": process_time() - cpu, "s": perf_counter() - wall} | measured(start, tokenizer, tasks)
    for method in methods:
        wall, cpu = perf_counter(), process_time()
        policy = improved(start, tokenizer, method, seed)
        spent = {"CPU s": process_time() - cpu, "s": perf_counter() - wall}
        found[method] = spent | measured(policy, tokenizer, tasks)
    return found


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.arithmetic", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--set", choices=["tune", "test"], default="test", help="which sums measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    by_seed = {}
    for seed in given.seeds:
        by_seed[seed] = race(seed, given.methods, sums(given.set))
        print(table(seed, by_seed[seed]), flush=True)
    if given.json is not None:
        settings = {"shape": SHAPE, "sft": SFT, "common": COMMON, "methods": METHODS, "set": given.set}
        write_text(given.json, json.dumps({"settings": settings, "seeds": by_seed}, indent=1) + "\n")
    return 0


def table(seed: int, found: Mapping[str, Mapping[str, float]]) -> str:
    """One seed's figures as lines of text."""
    names = list(found["sft"])
    lines = [f"{f'seed {seed}':<8}" + "".join(f"{name:>9}" for name in names)]
    for method, of in found.items():
        figures = (f"{of[name]:>9.{0 if name in TIMES else 3}f}" for name in names)
        lines.append(f"{method:<8}" + "".join(figures))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
