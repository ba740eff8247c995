"""Who takes part: the project's recipes, nanochat's from a checkout of it, and nanoGPT's step.

nanochat's model and optimizer are its own, imported from the folder that is named; only the loop around them is ours,
with its schedules of rate, momentum and decay as parts of the time instead of the steps. It is a model of depth 4 with
the rates that its optimizer has by default.
"""

import copy
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.recipe_race import CONTEXT, SEED, Job, Side, race

if TYPE_CHECKING:
    from benchmarks.recipe import Recipe

DEPTH, WIDTH = 4, 256
SCHEDULE = 10**6  # steps of a schedule that is read by parts of the time


def ours(name: str, changes: Sequence[str], values: dict[str, Any]) -> dict[str, Any]:
    """The recipe called `name` of `RECIPES`, with changes."""
    from benchmarks.recipe import RECIPES

    recipe = RECIPES[name].changed(changes)
    job = Job(**{**values, "seed": recipe.seed})
    return race(Groundup(recipe, job), job)


def nanochat(peer: str, depth: int, values: dict[str, Any]) -> dict[str, Any]:
    """The recipe of nanochat at a depth, from the checkout in the folder `peer`."""
    job = Job(**values)
    os.environ["NANOCHAT_DTYPE"] = {"bf16": "bfloat16"}.get(job.precision, "float32")
    sys.path.insert(0, peer)
    return race(Nanochat(job, depth), job)


def nanogpt(values: dict[str, Any]) -> dict[str, Any]:
    """The model of nanoGPT of the same depth and width under AdamW, with its rates for models of this size."""
    job = Job(**values)
    return race(NanoGPTSide(job), job)


class Groundup(Side):
    """A blueprint's `pretrain:` section for a size, with the clock in place of the steps."""

    def __init__(self, recipe: "Recipe", job: Job) -> None:
        from benchmarks.recipe import size_for
        from groundup.model.decoder import CustomLanguageModel
        from groundup.parallel.compilation import compile_blocks
        from groundup.parallel.device import settle
        from groundup.planning.size import parameters_of, shape_for
        from groundup.tokenizer.tokenizer import Tokenizer
        from groundup.training.configuration import PretrainConfig

        settle()
        given = {**recipe.pretrain, "sequence": CONTEXT}
        if job.check:  # of any shape, as long as it is small
            given["model"] = {**given.get("model", {}), "layers": 2, "width": 32}
        self.config = PretrainConfig.model_validate(given)
        vocabulary = Tokenizer.load(job.tokenizer).vocabulary_size
        parameters = parameters_of(recipe.size) if recipe.size else size_for(job.budget)
        shape = shape_for(parameters, vocabulary, self.config.model)
        fields = {**shape.model_dump(exclude_unset=True), **recipe.decoder}
        self.rows, self.job = (self.config.batch_tokens or 2048) // CONTEXT, job
        self.model = CustomLanguageModel(type(shape).model_validate(fields), seed=job.seed)
        self.first = copy.deepcopy(self.model.state_dict())
        if job.compiled:
            compile_blocks(self.model.model.layers)
        self._begin()

    def _begin(self) -> None:
        from groundup.parallel.device import Precision
        from groundup.parallel.single_device import SingleDevice
        from groundup.training.optimizer import make_optimizer

        precision: Precision = "bf16" if self.job.precision == "bf16" else "fp32"
        maker = make_optimizer(self.config.optimizer)
        self.engine = SingleDevice(self.model, maker, torch.device("cpu"), precision, self.config.ema)

    def restart(self) -> None:
        self.model.load_state_dict(self.first)
        self._begin()

    def step(self, rows_BT1: Tensor, number: int, progress: float) -> None:
        from groundup.training.schedule import learning_rate

        assert self.config.learning_rate
        at = min(SCHEDULE - 1, int(progress * SCHEDULE) + 1)
        rate = learning_rate(at, SCHEDULE, self.config.learning_rate, self.config)
        self.engine.train_step([rows_BT1], [rows_BT1[:, 1:].numel()], _loss, rate, self.config.clip_norm)

    def nats(self, rows_BT1: Tensor) -> float:
        with self.engine.averaged():
            return self.engine.evaluate([rows_BT1], _loss)[0]

    @property
    def parameters(self) -> int:
        return self.model.config.num_parameters


def _loss(model: Any, rows_BT1: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    return model.loss_sum(rows_BT1[:, :-1], rows_BT1[:, 1:]), {}


class Nanochat(Side):
    """karpathy/nanochat's GPT and MuonAdamW."""

    def __init__(self, job: Job, depth: int) -> None:
        from groundup.parallel.device import settle
        from groundup.tokenizer.tokenizer import Tokenizer

        settle()
        from nanochat.gpt import GPT, GPTConfig  # type: ignore[import-not-found]

        vocabulary, depth = Tokenizer.load(job.tokenizer).vocabulary_size, 1 if job.check else depth
        heads = math.ceil(64 * depth / 128)  # as its own training script: 64 of width a layer, in heads of 128
        shape = GPTConfig(CONTEXT, vocabulary, depth, heads, heads, 128 * heads, window_pattern="L")
        torch.manual_seed(SEED)
        self.model = GPT(shape)
        self.compiled = torch.compile(self.model, dynamic=False) if job.compiled else self.model
        self.restart()

    def restart(self) -> None:
        torch.manual_seed(SEED)
        self.model.init_weights()
        self.optimizer = self.model.setup_optimizer(
            unembedding_lr=0.008, embedding_lr=0.3, matrix_lr=0.02, weight_decay=0.28, scalar_lr=0.5
        )

    def step(self, rows_BT1: Tensor, number: int, progress: float) -> None:
        loss = self.compiled(rows_BT1[:, :-1].contiguous(), rows_BT1[:, 1:].contiguous())
        loss.backward()
        falling = max(0.0, (progress - 0.35) / 0.65)  # its warm-down: the last 65 %
        rate = min((number + 1) / 40, 1 - 0.95 * falling)
        rising = min(1.0, number / 400)
        momentum = 0.97 - 0.07 * falling if falling else 0.85 + 0.12 * rising
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate
            if group["kind"] == "muon":
                group["momentum"] = min(momentum, 0.85 + 0.12 * rising)
                group["weight_decay"] = 0.28 * 0.5 * (1 + math.cos(math.pi * progress))
        self.optimizer.step()
        self.model.zero_grad(set_to_none=True)
        loss.item()

    def nats(self, rows_BT1: Tensor) -> float:
        given, targets = rows_BT1[:, :-1].contiguous(), rows_BT1[:, 1:].contiguous()  # it views them as one row
        return float(self.model(given, targets, loss_reduction="sum"))

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


class NanoGPTSide(Side):
    """nanoGPT's model and AdamW: warm-up, then a cosine to a tenth."""

    def __init__(self, job: Job) -> None:
        from benchmarks.nanogpt import NanoGPT, NanoGPTShape
        from groundup.parallel.device import settle
        from groundup.tokenizer.tokenizer import Tokenizer

        settle()
        self.shape: NanoGPTShape = {
            "layers": 1 if job.check else DEPTH,
            "width": WIDTH,
            "heads": WIDTH // 64,
            "vocabulary": Tokenizer.load(job.tokenizer).vocabulary_size,
            "context": CONTEXT,
            "bias": False,
        }
        torch.manual_seed(SEED)
        self.model, self.job = NanoGPT(self.shape), job
        self.first = copy.deepcopy(self.model.state_dict())
        self.compiled = torch.compile(self.model, dynamic=False) if job.compiled else self.model
        self.restart()

    def restart(self) -> None:
        self.model.load_state_dict(self.first)
        matrices = [p for p in self.model.parameters() if p.dim() >= 2]
        vectors = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)

    def _mean(self, model: Any, rows_BT1: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.job.precision == "bf16"):
            mean: Tensor = model(rows_BT1[:, :-1].contiguous(), rows_BT1[:, 1:].contiguous())
        return mean

    def step(self, rows_BT1: Tensor, number: int, progress: float) -> None:
        loss = self._mean(self.compiled, rows_BT1)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        cosine = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, progress / 0.05, cosine)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def nats(self, rows_BT1: Tensor) -> float:
        return float(self._mean(self.model, rows_BT1)) * rows_BT1[:, 1:].numel()

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())
