"""Pipelines: what each stage holds, state and whole models, losses that know nothing of it, and what is refused.

That their curves are those of one process is in the table of `test_layouts.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ranks
import tiny
from curves import GPT2, LLAMA, Curve, Training, alone, expected, loss, steps, weight
from groundup.alignment.answers import Answer
from groundup.alignment.preference import PreferenceObjective
from groundup.alignment.sft import Lesson, SftObjective
from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.parallel.advice import HALVES_SINCE
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.parallel.mesh.engine import MeshEngine
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import Pretraining, TokenBatch

HALVES = pytest.mark.skipif(torch.__version__ < HALVES_SINCE, reason=f"zero_bubble needs PyTorch {HALVES_SINCE}")
TIED = Training(shape=LLAMA | {"num_hidden_layers": 4}, accumulate=4, ema=0.9)
UNTIED = Training(shape=GPT2 | {"num_hidden_layers": 5, "tie_word_embeddings": False}, accumulate=4)


def spread(parallel: ParallelConfig, training: Training) -> MeshEngine:
    maker = make_optimizer(training.optimizer)
    return MeshEngine(training.model(), maker, parallel, training.precision, training.ema)


def held(parallel: ParallelConfig, training: Training) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in spread(parallel, training).model.named_parameters()}


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved"])
@pytest.mark.parametrize("training", [TIED, UNTIED], ids=["tied", "untied"])
def test_stages_hold_the_model_between_them_under_its_own_names(training: Training, schedule: str) -> None:
    """Each weight is in one process, but for the embedding that is the head: it is in both."""
    parts = ranks.run(2, held, ParallelConfig(pp=2, schedule=schedule), training)
    whole = dict(training.model().named_parameters())
    assert set(parts[0]) | set(parts[1]) == set(whole)
    both = {"model.embed_tokens.weight"} if training is TIED else set()
    assert set(parts[0]) & set(parts[1]) == both
    for part in parts:
        assert all(torch.equal(tensor, whole[name]) for name, tensor in part.items())
    layers = [{int(name.split(".")[2]) for name in part if name.startswith("model.layers.")} for part in parts]
    if schedule == "interleaved":  # stages go round
        assert min(layers[0]) < min(layers[1]) < max(layers[0]) < max(layers[1])
    else:
        assert max(layers[0]) < min(layers[1])


@dataclass(frozen=True)
class Stretch:
    """What a process has three steps after a state."""

    restored: dict[str, Tensor]  # the state as it gave it again, before them
    curve: Curve
    end: Tensor | None  # its embedding
    whole: dict[str, Tensor]
    features: Tensor  # of the whole model
    state: dict[str, Tensor]


def continued(parallel: ParallelConfig, training: Training, state: dict[str, Tensor]) -> Stretch:
    engine = spread(parallel, training)
    engine.restore(state)
    restored = {name: tensor.clone() for name, tensor in engine.state().items()}
    curve = steps(engine, training, range(3, 6))
    end = dict(engine.model.named_parameters()).get("model.embed_tokens.weight")
    with engine.whole() as whole, torch.no_grad():
        assert isinstance(whole, CustomLanguageModel)
        weights = {name: parameter.detach() for name, parameter in whole.named_parameters()}
        features = whole.features(DecoderInputs(tiny.ids(2, 9)))
    return Stretch(restored, curve, None if end is None else end.detach(), weights, features, engine.state())


@pytest.mark.parametrize("schedule", ["1f1b", "interleaved"])
@pytest.mark.parametrize("training", [TIED, UNTIED], ids=["tied", "untied"])
def test_a_run_continues_in_a_pipeline_and_out_of_it(training: Training, schedule: str) -> None:
    """From one process to two stages and back, with optimizer state and averages; both ends stay equal bit for bit."""
    single = alone(training)
    steps(single, training, range(3))
    state = {name: tensor.clone() for name, tensor in single.state().items()}
    first, second = ranks.run(2, continued, ParallelConfig(pp=2, schedule=schedule), training, state)
    assert first.restored.keys() == state.keys() and not second.restored
    assert all(torch.equal(first.restored[name], state[name]) for name in state)
    wanted = steps(single, training, range(3, 6))
    assert first.curve == second.curve and first.curve.distance(wanted) < 1e-5
    if training is TIED:
        assert first.end is not None and second.end is not None and torch.equal(first.end, second.end)
    assert isinstance(single.model, CustomLanguageModel)
    for one in (first, second):
        for name, parameter in single.model.named_parameters():
            assert torch.allclose(one.whole[name], parameter, atol=1e-5), name
        assert torch.allclose(one.features, single.model.features(DecoderInputs(tiny.ids(2, 9))), atol=1e-4)
    back = alone(training)
    back.restore(first.state)
    assert steps(back, training, range(6, 8)).distance(steps(single, training, range(6, 8))) < 1e-5


@dataclass(frozen=True)
class Documents(Training):
    """Rows of several documents, which a window cuts as well."""

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[TokenBatch]:
        starts = torch.tensor([0, 5, 9, 13])
        documents = (torch.arange(self.length)[:, None] >= starts).sum(1)
        return [
            replace(batch, documents_BT=(documents + number).expand_as(batch.inputs_BT).roll(number, 1))
            for number, batch in enumerate(super().batches(step, data_rank))
        ]


def pretrain(parallel: ParallelConfig | None, training: Training) -> list[float]:
    """Losses and norms under pretraining's own loss."""
    engine: Engine = spread(parallel, training) if parallel else alone(training)
    found = []
    for step in range(4):
        batches = [replace(b, targets_BT=b.targets_BT.clamp_min(0)) for b in training.batches(step, engine.data_rank)]
        sizes = [batch.targets_BT.numel() for batch in batches]
        result = engine.train_step(batches, sizes, own_loss, 1e-2, 0.5)
        found += [result.loss, result.gradient_norm, engine.evaluate(batches[:3], own_loss)[0]]
    return found


def own_loss(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
    return Pretraining.loss(None, model, batch)  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", ["1f1b", pytest.param("zero_bubble", marks=HALVES)])
def test_documents_and_windows_reach_every_stage(schedule: str) -> None:
    training = Documents(shape={"num_hidden_layers": 4, "sliding_window": 6}, accumulate=4)
    without = Training(shape=training.shape, accumulate=4)
    found = ranks.run(2, pretrain, ParallelConfig(pp=2, schedule=schedule), training)
    assert found[0] == found[1]
    assert found[0] == pytest.approx(pretrain(None, training), rel=1e-6, abs=1e-5)
    assert found[0] != pytest.approx(pretrain(None, without), abs=1e-3)


def answers(count: int, seed: int) -> list[Answer]:
    generator = torch.Generator().manual_seed(seed)

    def some(most: int) -> list[int]:
        length = int(torch.randint(1, most, (1,), generator=generator))
        drawn: list[int] = torch.randint(61, (length,), generator=generator).tolist()
        return drawn

    return [Answer(some(20), some(25)) for _ in range(count)]


def sft() -> SftObjective:
    """Micro-batches of unequal rows and widths."""
    lessons = [Lesson([answer]) for answer in answers(40, 0)]
    return SftObjective(lessons, answers(70, 1), batch=11, accumulate=4, pad=0, seed=0)


def sft_packed() -> SftObjective:
    lessons = [Lesson([answer]) for answer in answers(40, 0)]
    return SftObjective(lessons, answers(9, 1), batch=11, accumulate=4, pad=0, seed=0, context=64)


def dpo() -> PreferenceObjective:
    pairs = list(zip(answers(20, 2), answers(20, 3), strict=True))
    known = tiny.referred(pairs, tiny.model(seed=1, num_hidden_layers=4))
    drawing = {"batch": 9, "accumulate": 4, "pad": 0, "seed": 0}
    return PreferenceObjective(known, known[:6], beta=0.1, label_smoothing=0.1, **drawing)


def align(parallel: ParallelConfig | None, objective_of: Callable[[], Any]) -> list[float]:
    training, objective = Training(shape={"num_hidden_layers": 4}), objective_of()
    engine: Engine = spread(parallel, training) if parallel else alone(training)
    found = []
    for step in range(5):
        batches = objective.batches(step, engine.data_rank)
        result = engine.train_step(batches, list(map(objective.weight, batches)), objective.loss, 5e-3, 0.5)
        found += [result.loss, result.gradient_norm, *result.statistics.values()]
    return [*found, *objective.validate(engine).values()]


@pytest.mark.parametrize(
    ("objective_of", "degrees"),
    [
        (sft, {"schedule": "1f1b"}),
        (sft, {"schedule": "interleaved", "dp_shard": 2}),
        pytest.param(sft_packed, {"schedule": "zero_bubble"}, marks=HALVES),
        (dpo, {"schedule": "1f1b"}),
        pytest.param(dpo, {"schedule": "zero_bubble", "dp_shard": 2}, marks=HALVES),
        (sft_packed, {"schedule": "gpipe", "tp": 2}),
    ],
    ids=["sft", "sft-fsdp", "packed", "dpo", "dpo-fsdp", "packed-tp"],
)
def test_alignment_through_a_pipeline_is_that_of_one_process(
    objective_of: Callable[[], Any], degrees: dict[str, Any]
) -> None:
    """Their micro-batches differ in rows and tokens, and are padded to one shape on the way."""
    assert len({batch.ids_BT.shape for batch in objective_of().batches(0)}) > 1
    parallel = ParallelConfig(pp=2, **degrees)
    found = ranks.run(parallel.processes, align, parallel, objective_of)
    assert all(one == found[0] for one in found)
    assert found[0] == pytest.approx(align(None, objective_of), abs=2e-5)


def refusal(parallel: ParallelConfig, attempt: Callable[[ParallelConfig], Any]) -> str:
    try:
        attempt(parallel)
    except GroundupError as error:
        return str(error)
    return ""


def step_of(count: int, loss: Any = loss, **shape: Any) -> Callable[[ParallelConfig], Any]:
    def attempt(parallel: ParallelConfig) -> None:
        training = Training(shape={"num_hidden_layers": 4} | shape, accumulate=count)
        batches = training.batches(0)
        spread(parallel, training).train_step(batches, list(map(weight, batches)), loss, 0.1, 1.0)

    return attempt


def uneven(parallel: ParallelConfig | None, **shape: Any) -> tuple[float, float]:
    """(loss, gradient norm) of a step over micro-batches of several widths and numbers of rows."""
    training = Training(shape={"num_hidden_layers": 4} | shape)
    batches = [replace(training, length=length, rows=rows).batches(0)[0] for length, rows in ((8, 2), (12, 1))]
    engine: Engine = spread(parallel, training) if parallel else alone(training)
    result = engine.train_step(batches, list(map(weight, batches)), loss, 0.1, 1.0)
    return result.loss, result.gradient_norm


@pytest.mark.parametrize("degrees", [{}, {"tp": 2}], ids=str)
def test_a_mixtures_experts_are_not_balanced_over_padding(degrees: dict[str, Any]) -> None:
    shape = {"num_experts": 4, "router_aux_loss_coef": 1.0}
    parallel = ParallelConfig(pp=2, schedule="gpipe", **degrees)
    for found in ranks.run(parallel.processes, partial(uneven, parallel, **shape)):
        assert found == pytest.approx(uneven(None, **shape), abs=1e-5)


def of_numbers(parallel: ParallelConfig) -> None:
    spread(parallel, TIED).train_step([1, 2], [1, 1], loss, 0.1, 1.0)


REFUSED: dict[str, tuple[dict[str, Any], Callable[[ParallelConfig], Any], str]] = {
    "too few micro-batches": ({}, step_of(1), "can't keep pp 2 busy with 1 micro-batch; set accumulate to 2"),
    "odd micro-batches": ({"schedule": "zero_bubble"}, step_of(5), "set accumulate to 6"),
    "several lengths under cp": ({"cp": 2}, uneven, "takes micro-batches with rows of one length"),
    "other batches": ({}, of_numbers, "can't take a int, which has no decoder_inputs()"),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=HALVES) if degrees.get("schedule") == "zero_bubble" else case
        for case, (degrees, _, _) in REFUSED.items()
    ],
)
def test_what_a_pipeline_cannot_do_is_refused_before_anything_is_computed(case: str) -> None:
    """By every process, so that none waits for another."""
    degrees, attempt, said = REFUSED[case]
    parallel = ParallelConfig(pp=2, **degrees)
    for found in ranks.run(parallel.processes, refusal, parallel, attempt):
        assert said in found and "parallel" in found


def twice(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
    assert isinstance(model, CustomLanguageModel)
    return model.features(DecoderInputs(batch.inputs_BT)).sum() + model.features(
        DecoderInputs(batch.inputs_BT)
    ).sum(), {}


def other_tokens(model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
    assert isinstance(model, CustomLanguageModel)
    return model.features(DecoderInputs(batch.inputs_BT[:, 1:])).sum(), {}


LATE = {
    "features twice": (step_of(2, twice), "computes features of its own"),
    "features of other tokens": (step_of(2, other_tokens), "computes features of its own"),
}


@pytest.mark.parametrize("case", LATE)
def test_a_loss_that_is_no_loss_of_what_came_through_is_an_error(case: str) -> None:
    attempt, said = LATE[case]
    with pytest.raises(AssertionError, match=f"GroundupError: parallel.pp: .*{said}"):
        ranks.run(2, attempt, ParallelConfig(pp=2, schedule="gpipe"), seconds=30)


def test_curves_differ_where_training_does() -> None:
    """Else the tests above would show nothing."""
    curve: Curve = expected(replace(TIED, ema=None))
    assert curve.distance(expected(replace(TIED, ema=None, accumulate=2))) > 1e-3
