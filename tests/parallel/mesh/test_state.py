"""What a mesh of processes has is what one process has: under the same names, the same tensors, and each resumes from
the other."""

from collections.abc import Callable, Mapping
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


SHAPED = [*((name, "llama") for name in LAYOUTS), ("both", "gpt2"), ("both", "untied")]
Job = tuple[str, str]


def in_each(function: Callable[..., Any], jobs: Mapping[Job, tuple[Any, ...]]) -> dict[Job, list[Any]]:
    """`function` of its layout's degrees and more, for jobs whose first name is a layout's; by job, then by rank."""
    by_size: dict[int, dict[Job, tuple[Any, ...]]] = {}
    for job, arguments in jobs.items():
        degrees = LAYOUTS[job[0]]
        by_size.setdefault(ParallelConfig(**degrees).processes, {})[job] = (degrees, *arguments)
    return {job: found for size, some in by_size.items() for job, found in ranks.run_each(size, function, some).items()}


@pytest.fixture(scope="module")
def states() -> dict[Job, list[dict[str, Tensor]]]:
    return in_each(state_after, {job: (Training(shape=SHAPES[job[1]], ema=0.9), 3) for job in SHAPED})


@pytest.mark.parametrize("job", SHAPED, ids="-".join)
def test_the_leader_has_the_state_of_one_process(job: Job, states: dict[Job, list[dict[str, Tensor]]]) -> None:
    training = Training(shape=SHAPES[job[1]], ema=0.9)
    one = alone(training)
    steps(one, training, range(3))
    whole = one.state()
    leader, *others = states[job]
    assert not any(others)
    assert leader.keys() == whole.keys()
    for name, tensor in whole.items():
        assert leader[name].shape == tensor.shape, name
        # the gradient of a key's bias is 0 but for rounding, which Adam makes as large as any other
        assert torch.allclose(leader[name], tensor, atol=5e-5) or name.endswith("k_proj.bias"), name
    assert len(whole) > 100


def continued(degrees: dict[str, Any], training: Training, saved: dict[str, Tensor], first: int) -> tuple[Any, Tensor]:
    """The rest of the curve, and the logits of the whole model after it."""
    made = engine(degrees, training, seed=7)
    made.restore(saved if made.leader else {})
    curve = steps(made, training, range(first, 10))
    with made.averaged(), made.whole() as model:
        assert isinstance(model, CustomLanguageModel)
        return curve, model(tiny.ids(2, 9))[0].detach()


def trained_by(optimizer: str) -> Training:
    return Training(ema=0.9, optimizer=OptimizerConfig(name=optimizer))


CONTINUED: list[Job] = [*((name, "adamw") for name in LAYOUTS), ("ddp", "muon"), ("ddp", "adafactor")]
if torch.__version__ < MUON_SINCE:
    CONTINUED.remove(("ddp", "muon"))  # the layout before it is fsdp and tp
BEFORE = {layout: list(LAYOUTS)[index - 1] for index, layout in enumerate(LAYOUTS)}


@pytest.fixture(scope="module")
def continuations() -> dict[Job, list[Any]]:
    """From each layout into the next of the table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("groundup.training.optimizer._fastest", lambda device: torch.float32)
        jobs = {(BEFORE[layout], optimizer): (trained_by(optimizer), 4) for layout, optimizer in CONTINUED}
        saved = {job: leader for job, (leader, *_) in in_each(state_after, jobs).items()}
        jobs = {job: (trained_by(job[1]), saved[BEFORE[job[0]], job[1]], 4) for job in CONTINUED}
        return in_each(continued, jobs)


@pytest.mark.parametrize("job", CONTINUED, ids="-".join)
def test_a_layout_continues_where_another_has_stopped(
    job: Job, continuations: dict[Job, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groundup.training.optimizer._fastest", lambda device: torch.float32)
    training = trained_by(job[1])
    one = alone(training)
    whole_curve = steps(one, training)
    with one.averaged():
        logits = one.model(tiny.ids(2, 9))[0].detach()
    for curve, ours in continuations[job]:
        assert torch.allclose(torch.tensor(curve.losses), torch.tensor(whole_curve.losses[4:]), atol=1e-5)
        assert torch.allclose(torch.tensor(curve.norms), torch.tensor(whole_curve.norms[4:]), atol=1e-5)
        assert abs(curve.validation - whole_curve.validation) < 1e-5
        assert torch.allclose(ours, logits, atol=1e-4)
