"""Ready for a GPU: what a step or a generated token computes makes no tensor on the CPU and moves none.

PyTorch's meta device plays the GPU: its tensors have shapes and no data, so a copy to the CPU fails. A mode watches
every operation for tensors that are made on the CPU out of nothing, which would be copied to the GPU in every step.
Reading a number on the host (`item`) makes a GPU wait; it is counted. Autocast knows no meta device, so it is off.

Answers (SFT, preferences, policies) select rows by a mask, whose number only the data has, so they can't run here: of
them the losses are tested.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tiny
from groundup.alignment import losses
from groundup.inference.engine import InferenceEngine
from groundup.inference.sampling import Sampling
from groundup.model.configuration import FAMILIES
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import adapters_off, add_adapters
from groundup.model.lora_config import LoraConfig
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch

META = torch.device("meta")
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
SHAPES: dict[str, dict[str, Any]] = {
    **{name: dict(fields) for name, fields in FAMILIES.items()},
    "gpt2": FAMILIES["gpt2"] | {"num_key_value_heads": 4},
    "mixtral": EXPERTS,
    "qwen3_moe": FAMILIES["qwen3_moe"] | EXPERTS,
    "window": {"sliding_window": 8},
    "capped logits, z-loss": {"final_logit_softcapping": 5.0, "z_loss_coef": 0.01},
}
DENSE = [name for name in SHAPES if not SHAPES[name].get("num_experts")]


class MadeOnCpu(TorchDispatchMode):
    """Notes operations that give a CPU tensor from no CPU tensor, and the project's line that called them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = operation(*args, **(kwargs or {}))
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        made = [one for one in tree_leaves(out) if isinstance(one, Tensor) and one.device.type == "cpu"]
        if made and not any(one.device.type == "cpu" for one in given):
            lines = [line for line in traceback.extract_stack() if "/src/groundup/" in line.filename]
            where = f"{lines[-1].filename}:{lines[-1].lineno}" if lines else "outside of the project"
            self.found.add(f"{operation} in {where}")
        return out


@contextmanager
def nothing_on_the_cpu() -> Iterator[None]:
    with MadeOnCpu() as mode:
        yield
    assert not mode.found, "\n".join(sorted(mode.found))


@pytest.fixture(autouse=True)
def what_meta_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    clip = torch.nn.utils.clip_grad_norm_  # whose grouped operations PyTorch lacks for meta
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda parameters, norm, foreach: clip(parameters, norm))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every reading of a meta tensor's number, which reads as 1."""
    noted: list[str] = []
    real = Tensor.item

    def item(tensor: Tensor) -> float:
        if tensor.device != META:  # an optimizer's count of steps
            return real(tensor)
        lines = [line for line in traceback.extract_stack() if "/src/groundup/" in line.filename]
        noted.append(f"{lines[-1].filename}:{lines[-1].lineno}")
        return 1.0

    monkeypatch.setattr(Tensor, "item", item)
    monkeypatch.setattr(Tensor, "__float__", item)
    monkeypatch.setattr(Tensor, "__bool__", lambda tensor: item(tensor) > 1)
    monkeypatch.setattr(Tensor, "tolist", lambda tensor: [int(item(tensor))] * len(tensor))
    return noted


def model(shape: str, **changes: Any) -> CustomLanguageModel:
    return tiny.model(**(SHAPES[shape] | changes)).to(META)


def ids(rows: int = 2, length: int = 16) -> Tensor:
    return torch.zeros(rows, length, dtype=torch.long, device=META)


@pytest.mark.parametrize("shape", DENSE)
@pytest.mark.parametrize("documents", [False, True], ids=["rows", "documents"])
def test_every_model_shape(shape: str, documents: bool) -> None:
    made = model(shape)
    with nothing_on_the_cpu():
        made.loss_sum(ids(), ids(), ids() if documents else None).backward()
        logits, _ = made(ids(), ids())
    assert logits.device == META
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_adapters_on_and_off() -> None:
    made = tiny.model()
    add_adapters(made, LoraConfig(rank=2, dropout=0.1))
    made.to(META).train()
    with nothing_on_the_cpu():
        made.loss_sum(ids(), ids()).backward()
        with torch.no_grad(), adapters_off(made):
            made(ids(), ids())


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7), Sampling(1, top_p=0.9)], ids=["greedy", "sampled", "top-p"]
)
@pytest.mark.parametrize("shape", DENSE)
def test_a_generated_token(shape: str, sampling: Sampling, reads: list[str]) -> None:
    """Of two requests together: what was chosen is read by the host, once for all rows (once more to see that top-p has
    candidates enough), and nothing else."""
    engine = InferenceEngine(model(shape).requires_grad_(False), slots=2)
    for _ in range(2):
        engine.add([1, 2, 3], max_tokens=8, sampling=sampling)
    engine.step()  # reads the prompts
    reads.clear()
    with nothing_on_the_cpu():
        engine.step()
    assert len(reads) <= (3 if sampling.filters else 2), reads  # tolist reads one number for each of the two rows


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])  # Adafactor reads two numbers of each tensor
def test_an_engine_s_step(optimizer: Any, reads: list[str]) -> None:
    """Two micro-batches: their losses and the gradient's norm are read by the host, and nothing else."""
    maker = make_optimizer(OptimizerConfig(name=optimizer))
    engine = SingleDevice(tiny.model(), maker, META, "fp32", ema_decay=0.9)
    batch = [TokenBatch(ids(), ids()) for _ in range(2)]

    def loss(of: nn.Module, one: TokenBatch) -> tuple[Tensor, dict[str, Tensor]]:
        assert isinstance(of, CustomLanguageModel)
        return of.loss_sum(one.inputs_BT, one.targets_BT), {}

    engine.train_step(batch, [32.0, 32.0], loss, 1e-3, 1.0)  # makes the optimizer's state
    reads.clear()
    with nothing_on_the_cpu():
        engine.train_step(batch, [32.0, 32.0], loss, 1e-3, 1.0)
    # Muon's AdamW is a fused kernel on a GPU; only here, where there is none, it reads its counts of steps
    assert len([line for line in reads if "muon.py" not in line]) == 3, reads


def test_every_preference_loss() -> None:
    given = [torch.zeros(4, device=META, requires_grad=True) for _ in range(2)]
    rest = [torch.ones(4, device=META) for _ in range(4)]
    for name in losses.PREFERENCE_LOSSES:
        with nothing_on_the_cpu():
            pairs = losses.PairLogProbabilities(*given, *rest)
            losses.preference_loss(pairs, name, 0.1, 0.1, 0.1, "sum").backward()


def test_the_mode_sees_what_it_is_for() -> None:
    with pytest.raises(AssertionError, match=r"aten\.arange"), nothing_on_the_cpu():
        torch.arange(3)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        ids().cpu()
