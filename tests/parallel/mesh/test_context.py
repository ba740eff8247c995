"""Rows spread over processes: attention over them is that of whole rows, and so is all that is built on it."""

import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

import ranks
import tiny
from curves import GPT2, Curve, Training, alone, expected, steps
from groundup.alignment.answers import Answer, AnswerBatch, collate, log_probabilities
from groundup.errors import GroundupError
from groundup.model.attention import runs_of, tensor_mask
from groundup.model.inputs import DecoderInputs
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.mesh.context import SpreadAttention, attend_last, chunk_mask, columns, gather
from groundup.parallel.mesh.engine import MeshEngine
from groundup.parallel.mesh.experts import summed
from groundup.parallel.recompute import checkpoint_blocks
from groundup.training.optimizer import make_optimizer
from groundup.training.pretraining import TokenBatch

CPU = torch.device("cpu")


@given(st.integers(1, 6), st.integers(1, 7))
def test_every_token_is_held_once_and_work_is_even(size: int, chunk: int) -> None:
    length = 2 * size * chunk
    held = [columns(length, rank, size) for rank in range(size)]
    assert torch.cat(held).sort().values.tolist() == list(range(length))
    assert all(part.tolist() == sorted(part.tolist()) for part in held)
    assert len({int((part + 1).sum()) for part in held}) == 1  # keys that its queries see


def reference(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def spread_attention_differs_by() -> float:
    """The largest difference of 30 drawn cases, results and gradients, in float64."""
    rank, size, worst = dist.get_rank(), dist.get_world_size(), 0.0
    draw = random.Random(size)
    for case in range(30):
        generator = torch.Generator().manual_seed(case)
        B, G, queries, K, chunk = (draw.choice(of) for of in ([1, 2, 3], [1, 2], [1, 2, 3], [4, 8], [1, 2, 5, 9]))
        T = 2 * size * chunk
        window = draw.choice([None, 1, 2, T // 3 + 1, T, T + 4])
        q, k, v, direction = (
            torch.randn(B, heads, T, K, generator=generator, dtype=torch.float64).requires_grad_()
            for heads in (G * queries, G, G, G * queries)
        )
        runs_BT = runs_of(torch.randint(0, 3, (B, T), generator=generator))[0] if draw.random() < 0.5 else None
        whole = reference(q, k, v, tensor_mask(T, window, runs_BT, CPU))
        theirs = (whole.detach(), *torch.autograd.grad((whole * direction).sum(), (q, k, v)))
        here = columns(T, rank, size)
        parts = [x.detach()[:, :, here].requires_grad_() for x in (q, k, v)]
        part = SpreadAttention(T, window, runs_BT, dist.group.WORLD, CPU, flex=False).attend(*parts, 0.0)
        ours = (part.detach(), *torch.autograd.grad((part * direction[:, :, here]).sum(), parts))
        worst = max(worst, tiny.largest_difference(ours, [x[:, :, here] for x in theirs]))
    return worst


@pytest.mark.parametrize("size", [2, 3])
def test_attention_over_spread_rows(size: int) -> None:
    """Windows, documents and grouped heads, forward and backward: exact up to float64's rounding."""
    assert max(ranks.run(size, spread_attention_differs_by)) < 1e-13


@settings(max_examples=12)
@given(st.integers(0, 5), st.integers(1, 9), st.one_of(st.none(), st.integers(1, 60)), st.booleans(), st.integers(0, 9))
def test_the_kernels_for_gpus_see_the_same_keys(
    number: int, chunk: int, window: int | None, packed: bool, seed: int
) -> None:
    """Flex attention's blocks, and SDPA's causal mask aligned to the last key, on a CPU."""
    generator = torch.Generator().manual_seed(seed)
    start, end = number * chunk, (number + 1) * chunk
    q, k, v = (torch.randn(2, heads, end, 8, generator=generator) for heads in (4, 2, 2))
    runs_BT = runs_of(torch.randint(0, 2, (2, end), generator=generator))[0] if packed else None
    whole = reference(q, k, v, tensor_mask(end, window, runs_BT, CPU))[:, :, start:]
    first = 0 if window is None else max(0, start - window + 1)
    for flex in (False, True):
        mask = chunk_mask(first, start, end, window, runs_BT, CPU, flex)
        assert not flex or mask is None or isinstance(mask, BlockMask)
        found = attend_last(q[:, :, start:], k[:, :, first:], v[:, :, first:], mask, 0.0)
        assert torch.allclose(found, whole, atol=1e-6)
    if runs_BT is None and (window is None or window >= end):
        assert torch.allclose(attend_last(q[:, :, start:], k, v, None, 0.0), whole, atol=1e-6)


def gathered_in_order() -> bool:
    rank, size = dist.get_rank(), dist.get_world_size()
    row = torch.arange(24).view(2, 12)
    return torch.equal(gather(row[:, columns(12, rank, size)], 1, dist.group.WORLD), row)


def test_gathered_tokens_are_in_the_order_of_the_row() -> None:
    assert ranks.run(3, gathered_in_order) == [True] * 3


@dataclass(frozen=True)
class Packed(Training):
    """Rows of several documents, cut elsewhere in each row."""

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[TokenBatch]:
        cuts = torch.randint(1, self.length, (self.rows, 2), generator=torch.Generator().manual_seed(step))
        ends = torch.cat((cuts.sort(1).values, torch.full((self.rows, 1), self.length)), 1)
        documents_BT = torch.stack([torch.bucketize(torch.arange(self.length), row, right=True) for row in ends])
        mine = data_rank.of(self.rows)
        return [replace(batch, documents_BT=documents_BT[mine]) for batch in super().batches(step, data_rank)]


WINDOWS: dict[str, Any] = {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]}
TRAININGS: dict[str, Training] = {
    "llama": Training(),
    "gpt2, documents": Packed(shape=dict(GPT2)),
    "windows, documents": Packed(shape=WINDOWS, length=24),
    "windows": Training(shape=WINDOWS, length=24),
}


def train(parallel: ParallelConfig, training: Training, recompute: str) -> Curve:
    model = training.model()
    checkpoint_blocks(model.model.layers, recompute)  # type: ignore[arg-type]
    return steps(MeshEngine(model, make_optimizer(training.optimizer), parallel, training.precision), training)


@pytest.mark.parametrize("name", TRAININGS)
def test_positions_windows_and_documents(name: str) -> None:
    parallel = ParallelConfig(cp=2)
    curve, _ = ranks.run(2, train, parallel, TRAININGS[name], "none")
    assert curve.distance(expected(TRAININGS[name])) < 1e-5


@pytest.mark.parametrize("mode", ["full", "selective"])
def test_keys_that_are_gathered_again_in_the_backward_pass(mode: str) -> None:
    training = TRAININGS["windows, documents"]
    curve, _ = ranks.run(2, train, ParallelConfig(cp=2), training, mode)
    assert curve.distance(expected(training)) < 1e-5


def test_bf16() -> None:
    training = replace(TRAININGS["windows, documents"], precision="bf16")
    curve, _ = ranks.run(2, train, ParallelConfig(cp=2), training, "none")
    assert 1e-5 < curve.distance(expected(replace(training, precision="fp32"))) < 0.1
    assert curve.distance(steps(alone(training), training)) < 0.05


def answers() -> list[AnswerBatch]:
    draw = random.Random(0)
    lengths = [(5, 3), (2, 11), (9, 1), (4, 6), (3, 3), (7, 8)]
    made = [Answer(draw.choices(range(61), k=n), draw.choices(range(61), k=m)) for n, m in lengths]
    return [collate(made[:3], 0), collate(made[3:], 0)]


def answer_loss(model: Any, batch: AnswerBatch) -> tuple[Tensor, dict[str, Tensor]]:
    logp_N, entropy_N = log_probabilities(model, batch)
    return -logp_N.sum(), {"entropy": entropy_N.sum()}


def learn_answers(parallel: ParallelConfig | None) -> list[float]:
    training = Training(shape=dict(GPT2))
    engine = alone(training)
    if parallel is not None:
        engine = MeshEngine(training.model(), make_optimizer(training.optimizer), parallel, "fp32")
    found = []
    for _ in range(4):
        batch = answers()
        weights = [float(one.tokens) for one in batch]
        result = engine.train_step(batch, weights, answer_loss, 1e-2, 0.5)
        found += [result.loss, result.gradient_norm, result.statistics["entropy"]]
    total, sums = engine.evaluate(answers(), answer_loss)
    return [*found, total, sums["entropy"]]


@pytest.mark.parametrize("degrees", [{"cp": 2}, {"cp": 3}, {"cp": 2, "tp": 2}], ids=str)
def test_losses_that_want_whole_rows_get_them(degrees: dict[str, int]) -> None:
    """Answers: rows of any length, split inside the decoder and gathered after it."""
    single, parallel = learn_answers(None), ParallelConfig(**degrees)
    for found in ranks.run(parallel.processes, learn_answers, parallel):
        assert found == pytest.approx(single, abs=2e-5)


def test_within_a_pipeline_they_are_refused() -> None:
    with pytest.raises(AssertionError, match="cp within a pipeline is for pretraining"):
        ranks.run(4, learn_answers, ParallelConfig(cp=2, pp=2))


def lengths_refused() -> list[str]:
    engine = MeshEngine(tiny.model(), make_optimizer(Training().optimizer), ParallelConfig(cp=2, tp=2), "fp32")
    errors = []
    for training in (Training(length=18), Training(length=80)):
        with pytest.raises(GroundupError) as error:
            steps(engine, training, [0])
        errors.append(str(error.value))
    return errors


def test_rows_that_do_not_fit_are_refused() -> None:
    uneven, long = ranks.run(4, lengths_refused)[0]
    assert "18 tokens" in uneven
    assert "16 or 20" in uneven
    assert "context has 64" in long


def routed(parallel: ParallelConfig | None) -> Tensor:
    """The sums that experts are balanced by, of all processes of `cp`, of rows that have to be padded: [3, E]."""
    routing, training = list[Tensor](), Training(shape={"num_experts": 4})

    def features(model: Any, ids_BT: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return model.features(DecoderInputs(ids_BT, routing=routing)).sum(), {}

    if parallel is None:
        alone(training).evaluate([tiny.ids(2, 30)], features)
        return torch.stack(routing).sum(0)
    engine = MeshEngine(training.model(), make_optimizer(training.optimizer), parallel, "fp32")
    engine.evaluate([tiny.ids(2, 30)], features)
    return summed(torch.stack(routing).sum(0), engine.layout.group("cp"))


@pytest.mark.parametrize("degrees", [{"cp": 2}, {"cp": 2, "tp": 2}], ids=str)
def test_experts_are_not_balanced_over_padding(degrees: dict[str, int]) -> None:
    parallel = ParallelConfig(**degrees)
    for found in ranks.run(parallel.processes, routed, parallel):
        assert torch.allclose(found, routed(None), atol=1e-4)
