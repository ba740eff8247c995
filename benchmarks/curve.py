"""`make bench NAME=curve`: how long it takes to reach a validation loss, and whether the published curve is met.

The task is nanoGPT's for a CPU: characters of tinyshakespeare, sequences of 64, a model of at most 804,096 parameters.
The plain configuration (4 layers, 4 heads, width 128, batch 12, AdamW, 2,000 steps) has many independent logs, which
end at a validation loss of 1.8857; all have one seed, and estimate the loss from the same 20 random batches. Here it
starts from the same weights, reads the same batches and makes the same estimates. The other configuration has as many
parameters and is free in all else; its loss is that of the whole validation text. Both run in this engine, each in a
process of its own; the clock counts training steps with their batches, and not the looks at the validation text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import in_process
from benchmarks.rows import Row, compare
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from benchmarks.nanogpt import NanoGPTShape

MAX_PARAMETERS, CONTEXT = 804_096, 64
PUBLISHED = "nanoGPT's published logs"
LOGS = {
    0: 4.1649,
    250: 2.4447,
    500: 2.3141,
    750: 2.1905,
    1000: 2.0528,
    1250: 2.0089,
    1500: 1.9225,
    1750: 1.8921,
    2000: 1.8857,
}
TARGET = LOGS[2000]


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained."""

    shape: dict[str, Any]
    loop: dict[str, Any]
    learning_rate: float
    steps: int
    batch: int
    look_every: int  # steps between looks at the validation loss
    precision: str = "fp32"
    published: bool = False  # whether weights and batches are drawn as nanoGPT draws them
    common: dict[str, Any] = field(
        default_factory=lambda: {
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": CONTEXT,
        }
    )

    def as_nanogpt(self, vocabulary: int) -> "NanoGPTShape":
        """The same shape in nanoGPT's terms."""
        return {
            "layers": self.common["num_hidden_layers"],
            "width": self.common["hidden_size"],
            "heads": self.common["num_attention_heads"],
            "vocabulary": vocabulary,
            "context": CONTEXT,
            "bias": False,
        }


PLAIN = Recipe(
    shape={
        "intermediate_size": 512,
        "position_embedding": "learned",
        "norm": "layer_norm",
        "norm_bias": False,
        "hidden_act": "gelu",
        "gated_mlp": False,
        "tie_word_embeddings": True,
    },
    loop={"warmup": 0.05, "final_learning_rate": 0.1, "optimizer": {"betas": [0.9, 0.99], "weight_decay": 0.1}},
    learning_rate=1e-3,
    steps=2000,
    batch=12,
    look_every=250,
    published=True,
)
FAST = Recipe(
    shape={
        "intermediate_size": 504,
        "qk_norm": True,
        "hidden_act": "relu2",
        "gated_mlp": False,
        "zero_init_outputs": True,
        "tie_word_embeddings": False,
    },
    loop={
        "warmup": 0.0,
        "schedule": "wsd",
        "decay": 0.7,
        "optimizer": {"name": "muon", "betas": [0.8, 0.95], "weight_decay": 0.0},
    },
    learning_rate=0.006,
    steps=220,
    batch=16,
    look_every=20,
    precision="bf16",
)


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for `data`, the folder of tinyshakespeare or one above it; a check takes a few steps on random letters."""
    if check:
        yield _checked()
        return
    found = sorted(data.rglob("tinyshakespeare/*.txt")) if data else []
    found = found or (sorted(data.glob("*.txt")) if data else [])
    if not found:
        raise GroundupError("there is no tinyshakespeare", where=str(data or ""), do="name its folder with --data")
    from groundup.machine import usable_cores

    cores = usable_cores()
    plain, fast = (in_process(trained, name, str(found[0]), cores=cores).value for name in ("PLAIN", "FAST"))
    for look in plain["looks"]:
        case, published = f"plain configuration after {look['step']:,} steps", LOGS[look["step"]]
        yield compare(case, "validation loss", look["estimates"][1], published, PUBLISHED, "nats", "lower")
    last = plain["looks"][-1]
    name = "the published estimate"
    yield compare("plain configuration, whole text", "validation loss", last["loss"], TARGET, name, "nats", "lower")
    reached = next((look for look in fast["looks"] if look["loss"] <= TARGET), None)
    best = min(look["loss"] for look in fast["looks"])
    name = "groundup, plain configuration"
    if reached is None:
        raise GroundupError(f"the fast configuration ended at {best:.4f} and never reached {TARGET}")
    case = f"to a validation loss of {TARGET}, {fast['parameters']:,} parameters"
    yield compare(case, "wall clock", reached["seconds"], last["seconds"], name, "s", "lower")
    yield compare(case, "steps", reached["step"], last["step"], name, "steps", "lower")


def _checked() -> Row:
    """Both recipes for two steps; the row compares their losses, which mean nothing."""
    import random
    import string

    text = "".join(random.Random(1).choices(string.ascii_letters + " \n", k=20_000))
    plain, fast = (train(replace(recipe, steps=2), text)["looks"][-1]["loss"] for recipe in (PLAIN, FAST))
    name = "groundup, plain configuration"
    return compare("two steps on random letters", "validation loss", fast, plain, name, "nats", "lower")


def trained(name: str, path: str) -> dict[str, Any]:
    """Train the recipe called `name` on a text; `{parameters, looks: [{step, seconds, loss, estimates}, ...]}`."""
    return train({"PLAIN": PLAIN, "FAST": FAST}[name], Path(path).read_text(encoding="utf-8"))


def train(recipe: Recipe, text: str, seed: int = 1337) -> dict[str, Any]:
    """The same for any recipe and text; the last tenth of the text is for validation."""
    import time

    import numpy as np
    import torch
    from torch import Tensor, nn

    from benchmarks import nanogpt
    from groundup.model.configuration import LLMConfig
    from groundup.model.decoder import CustomLanguageModel
    from groundup.parallel.device import Precision, settle
    from groundup.parallel.single_device import SingleDevice
    from groundup.training.configuration import LoopConfig
    from groundup.training.optimizer import make_optimizer
    from groundup.training.schedule import learning_rate

    settle()
    characters = sorted(set(text))
    ids = torch.from_numpy(np.searchsorted(characters, list(text)).astype(np.int64))
    first, validation = ids[: len(ids) * 9 // 10], ids[len(ids) * 9 // 10 :]
    model = CustomLanguageModel(LLMConfig(vocab_size=len(characters), **recipe.common, **recipe.shape), seed=seed)
    torch.manual_seed(seed)
    if recipe.published:
        nanogpt.give_weights(nanogpt.NanoGPT(recipe.as_nanogpt(len(characters))), model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters <= MAX_PARAMETERS
    config = LoopConfig.model_validate(recipe.loop)
    precision: Precision = "bf16" if recipe.precision == "bf16" else "fp32"
    engine = SingleDevice(model, make_optimizer(config.optimizer), torch.device("cpu"), precision, config.ema)

    def loss(model: nn.Module, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(model, CustomLanguageModel)
        return model.loss_sum(batch[:, :-1], batch[:, 1:]), {}

    def mean_loss(rows: Tensor) -> float:
        with engine.averaged():
            total, _ = engine.evaluate(torch.split(rows, 256), loss)
        return total / (len(rows) * CONTEXT)

    def look(step: int) -> dict[str, Any]:
        found: dict[str, Any] = {
            "step": step,
            "seconds": seconds,
            "loss": mean_loss(validation.unfold(0, CONTEXT + 1, CONTEXT)),
        }
        if recipe.published:  # which draws batches, the next ones that are trained on among them
            found["estimates"] = nanogpt.estimate(mean_loss, (first, validation), recipe.batch, CONTEXT)
        return found

    seconds, batch = 0.0, nanogpt.draw(first, recipe.batch, CONTEXT)
    looks = [look(0)]
    for step in range(recipe.steps):
        began = time.perf_counter()
        rate = learning_rate(step, recipe.steps, recipe.learning_rate, config)
        engine.train_step([batch], [recipe.batch * CONTEXT], loss, rate, config.clip_norm)
        batch = nanogpt.draw(first, recipe.batch, CONTEXT)
        seconds += time.perf_counter() - began
        if (step + 1) % recipe.look_every == 0 or step + 1 == recipe.steps:
            looks.append(look(step + 1))
    return {"parameters": parameters, "looks": looks}
