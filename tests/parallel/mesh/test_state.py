"""What a mesh of processes has is what one process has: under the same names, the same tensors, and each resumes from
the other."""

from typing import Any

import pytest
import torch
from torch import Tensor

import ranks
import tiny
from curves import GPT2, LLAMA, Training, alone, steps
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.advice import MUON_SINCE
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

LAYOUTS: dict[str, dict[str, Any]] = {
    "ddp": {"dp_replicate": 2},
    "fsdp": {"dp_shard": 2},
    "tp": {"tp": 2},
    "hsdp": {"dp_replicate": 2, "dp_shard": 2},
    "both": {"dp_shard": 2, "tp": 2},
}


def engine(degrees: dict[str, Any], training: Training, seed: int = 0) -> MeshEngine:
    torch.manual_seed(seed)
    maker = make_optimizer(training.optimizer)
    model = training.model()
    if seed:  # other weights than training begins with
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
    return MeshEngine(model, maker, ParallelConfig(**degrees), training.precision, training.ema)


def state_after(degrees: dict[str, Any], training: Training, count: int) -> dict[str, Tensor]:
    made = engine(degrees, training)
    steps(made, training, range(count))
    return made.state()


SHAPES = {"llama": LLAMA, "gpt2": GPT2, "untied": {"tie_word_embeddings": False}}


@pytest.mark.parametrize(("layout", "shape"), [*((n, "llama") for n in LAYOUTS), ("both", "gpt2"), ("both", "untied")])
def test_the_leader_has_the_state_of_one_process(layout: str, shape: str) -> None:
    training = Training(shape=SHAPES[shape], ema=0.9)
    one = alone(training)
    steps(one, training, range(3))
    whole = one.state()
    states = ranks.run(ParallelConfig(**LAYOUTS[layout]).processes, state_after, LAYOUTS[layout], training, 3)
    assert not any(states[1:])
    assert states[0].keys() == whole.keys()
    for name, tensor in whole.items():
        assert states[0][name].shape == tensor.shape, name
        # the gradient of a key's bias is 0 but for rounding, which Adam makes as large as any other
        assert torch.allclose(states[0][name], tensor, atol=5e-5) or name.endswith("k_proj.bias"), name
    assert len(whole) > 100


def continued(degrees: dict[str, Any], training: Training, saved: dict[str, Tensor], first: int) -> tuple[Any, Tensor]:
    """The rest of the curve, and the logits of the whole model after it."""
    made = engine(degrees, training, seed=7)
    made.restore(saved if made.leader else {})
    curve = steps(made, training, range(first, 10))
    with made.averaged(), made.whole() as model:
        assert isinstance(model, CustomLanguageModel)
        return curve, model(tiny.ids(2, 9))[0].detach()


@pytest.mark.parametrize(
    ("layout", "optimizer"), [*((name, "adamw") for name in LAYOUTS), ("ddp", "muon"), ("ddp", "adafactor")]
)
def test_a_layout_continues_where_another_has_stopped(layout: str, optimizer: str, monkeypatch: Any) -> None:
    """From each layout into the next of the table, and from one process into each."""
    monkeypatch.setattr("groundup.training.optimizer._fastest", lambda device: torch.float32)
    if optimizer == "muon" and torch.__version__ < MUON_SINCE:
        pytest.skip(f"the layout before needs PyTorch {MUON_SINCE}")
    training = Training(ema=0.9, optimizer=OptimizerConfig(name=optimizer))
    one = alone(training)
    whole_curve = steps(one, training)
    names = list(LAYOUTS)
    before = names[names.index(layout) - 1]
    [saved, *_] = ranks.run(ParallelConfig(**LAYOUTS[before]).processes, state_after, LAYOUTS[before], training, 4)
    degrees = LAYOUTS[layout]
    results = ranks.run(ParallelConfig(**degrees).processes, continued, degrees, training, saved, 4)
    with one.averaged():
        logits = one.model(tiny.ids(2, 9))[0].detach()
    for curve, ours in results:
        assert torch.allclose(torch.tensor(curve.losses), torch.tensor(whole_curve.losses[4:]), atol=1e-5)
        assert torch.allclose(torch.tensor(curve.norms), torch.tensor(whole_curve.norms[4:]), atol=1e-5)
        assert abs(curve.validation - whole_curve.validation) < 1e-5
        assert torch.allclose(ours, logits, atol=1e-4)
