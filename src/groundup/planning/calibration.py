"""This machine's speed by a few real steps of a blueprint's own stages, in place of the probe's estimate.

    train, muon   20 steps of pretraining, or three seconds
    rows          as many on rows of question and answer, of many lengths
    forward       the same rows without training
    generate      answers to as many questions as are answered together
    the start     of a process that trains, until its first step

Each is timed by the code that runs in earnest, with the blueprint's own batches and precision. A rate is the FLOPs that
the plan counts over the seconds that they took, so that whatever isn't counted is in it in proportion.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean, median
from time import perf_counter

import torch
from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, answer_nats, collate
from groundup.alignment.configuration import SftConfig
from groundup.inference.continuation import MAX_SLOTS, continue_prompts
from groundup.inference.sampling import Sampling
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision, best_device, resolve_precision, settle
from groundup.parallel.recompute import checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.planning.counts import ANSWER_TOKENS, QUESTION_TOKENS
from groundup.planning.machine import START_SECONDS, STEP_SECONDS, Machine
from groundup.planning.ranks import RankBatch
from groundup.planning.step import muon_flops, row_flops
from groundup.training.configuration import PretrainConfig
from groundup.training.engines import recomputed
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch, next_token_loss, targets_of

# What a training stage imports, and what its first step does.
START = """
import groundup.alignment.policy_stage, torch
weight = torch.zeros(1, requires_grad=True)
weight.sum().backward()
torch.optim.AdamW([weight]).step()
"""
STEPS, WARM_UP = 20, 10  # taken, and of these not counted: kernels are chosen and memory is asked for
SECONDS, MAX_STEPS = 3.0, 60  # small models take more steps, so that a moment of other work doesn't decide


@dataclass(frozen=True)
class SpeedCalibration:
    """What the steps came to."""

    steps: int
    """Of pretraining."""
    step_seconds: float
    """The median of pretraining's."""
    tokens_per_second: float
    machine: Machine
    """With the rates at which a plan predicts these very steps."""


def calibrate(
    model: LLMConfig,
    config: PretrainConfig,
    machine: Machine,
    answers: SftConfig | None = None,
    clock: Callable[[], float] = perf_counter,
    starting: Callable[[], float] | None = None,
) -> SpeedCalibration:
    """Take steps, in one process, on tokens of no meaning.

    Args:
        config: the `pretrain:` section, filled in.
        answers: the `sft:` section, filled in; None: nothing is trained on answers, and pretraining alone is timed.
        starting: gives the seconds that a training stage takes to start; None: `starting_seconds`.
    """
    start_factor = (starting or starting_seconds)() / START_SECONDS["training"]
    settle()
    device = best_device()
    precision = resolve_precision(config.precision, device)
    made = CustomLanguageModel(model, seed=0)
    checkpoint_blocks(made.model.layers, recomputed(config))
    engine = SingleDevice(made, make_optimizer(config.optimizer), device, precision)
    batch = whole_batch(model, config, ParallelConfig())
    seconds: list[float] = []
    while _more(seconds):
        micro = random_batch(model, batch, len(seconds))
        began = clock()
        engine.train_step(micro, list(map(targets_of, micro)), next_token_loss, 0.0, 1.0)
        seconds.append(clock() - began)
    took = median(seconds[WARM_UP:])
    tokens = batch.rows * batch.sequence * batch.micro_batches
    flops = tokens * model.flops_per_token(batch.sequence)
    orthogonalised = muon_flops(model, config.optimizer) / machine.rate("muon", precision)
    expected = flops / machine.rate("train", precision) + orthogonalised
    factor = expected / max(took - STEP_SECONDS, took / 2)
    measured = {work: factor * machine.rate(work, precision) for work in ("train", "muon")}
    if answers is not None:
        measured |= answer_rates(model, answers, precision, clock)
    machine = replace(machine, measured=measured, start_factor=start_factor, accelerator=None)
    return SpeedCalibration(len(seconds), took, tokens / took, machine)


def _more(seconds: list[float]) -> bool:
    """Whether another step should be taken after those that took so long."""
    return len(seconds) < STEPS or (sum(seconds) < SECONDS and len(seconds) < MAX_STEPS)


def starting_seconds() -> float:
    """Until a process has taken the first step of a training stage."""
    began = perf_counter()
    subprocess.run([sys.executable, "-P", "-c", START], check=True)
    return perf_counter() - began


def answer_rates(
    model: LLMConfig, config: SftConfig, precision: Precision, clock: Callable[[], float] = perf_counter
) -> dict[str, float]:
    """FLOP/s of `rows`, `forward` and `generate`.

    Args:
        config: the `sft:` section, filled in.
    """
    made = CustomLanguageModel(model, seed=0)
    engine = SingleDevice(made, make_optimizer(config.optimizer), best_device(), precision)
    rows = max(1, config.batch_examples // config.accumulate)
    took: dict[str, list[float]] = {"rows": [], "forward": []}
    counted: dict[str, list[float]] = {"rows": [], "forward": []}
    while _more(took["rows"]):
        batch = random_answers(model, rows, len(took["rows"]))
        flops = row_flops(model, batch.ids_BT.numel(), batch.tokens, QUESTION_TOKENS + ANSWER_TOKENS)
        began = clock()
        engine.train_step([batch] * config.accumulate, [batch.tokens] * config.accumulate, _nats, 0.0, 1.0)
        trained = clock()
        engine.evaluate([batch], _nats)
        took["rows"].append(max(trained - began - STEP_SECONDS, (trained - began) / 2))
        took["forward"].append(clock() - trained)
        counted["rows"].append(config.accumulate * flops)
        counted["forward"].append(flops / 3)
    # The mean: a shape that comes for the first time takes longer, and in earnest some do all along.
    rates = {work: fmean(counted[work][WARM_UP:]) / fmean(took[work][WARM_UP:]) for work in took}
    return rates | {"generate": _generated(made, engine.dtype, clock)}


def _generated(model: CustomLanguageModel, dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """FLOP/s as a plan counts them: of answers alone."""
    flops = MAX_SLOTS * ANSWER_TOKENS * model.config.flops_per_token(QUESTION_TOKENS + ANSWER_TOKENS) / 3
    prompts = [list(one.prompt) for one in _answers(model.config, MAX_SLOTS, 0)]
    took = 0.0
    for _ in range(2):  # the first one compiles
        began = clock()
        continue_prompts(
            model,
            prompts,
            stop=(),
            max_tokens=ANSWER_TOKENS,
            sampling=Sampling(1.0),
            seeds=range(len(prompts)),
            dtype=dtype,
        )
        took = clock() - began
    return flops / took


def _nats(model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, dict[str, Tensor]]:
    return answer_nats(model, batch), {}


def random_answers(model: LLMConfig, rows: int, seed: int = 0) -> AnswerBatch:
    """Questions and answers of no meaning, from half to one and a half times as long as those made from documents; as
    batches are sorted by length, those of a batch are about equally long."""
    drawn = sorted(_answers(model, 8 * rows, seed), key=len)
    first = seed % 8 * rows
    return collate(drawn[first : first + rows], pad=0)


def _answers(model: LLMConfig, count: int, seed: int) -> list[Answer]:
    generator = torch.Generator().manual_seed(seed)

    def ids(tokens: int) -> list[int]:
        length = int(torch.randint(max(1, tokens // 2), tokens + tokens // 2 + 1, (), generator=generator))
        return torch.randint(model.vocab_size, (length,), generator=generator).tolist()

    return [Answer(ids(QUESTION_TOKENS), ids(ANSWER_TOKENS)) for _ in range(count)]


def whole_batch(model: LLMConfig, config: PretrainConfig, parallel: ParallelConfig) -> RankBatch:
    """What a data-parallel process reads in a step."""
    assert config.batch_tokens, "filled in from `size`"
    sequence = min(config.sequence, model.max_position_embeddings)
    rows = config.batch_tokens // (sequence * config.accumulate * parallel.dp)
    return RankBatch(max(1, rows), sequence, config.accumulate)


def random_batch(model: LLMConfig, batch: RankBatch, seed: int = 0) -> list[TokenBatch]:
    """Micro-batches of tokens of no meaning."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randint(model.vocab_size, (batch.rows, batch.sequence + 1), generator=generator)
        for _ in range(batch.micro_batches)
    ]
    return [TokenBatch(ids[:, :-1], ids[:, 1:]) for ids in drawn]
