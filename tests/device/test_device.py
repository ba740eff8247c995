"""What must hold on every device: its numbers are the CPU's. `make test` runs this where there is no GPU, on the CPU
itself; `make gpu` on the GPU that it measures.

Oracles are computed on the CPU, in float64 where a closed form is at hand.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from groundup.inference.engine import InferenceEngine
from groundup.inference.sampling import Sampling
from groundup.model.attention import attend, flex_fits, mask_of, runs_of
from groundup.model.configuration import FAMILIES
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.compilation import SINCE, compile_blocks
from groundup.parallel.device import Precision, best_device, resolve_precision
from groundup.parallel.single_device import SingleDevice
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

pytestmark = pytest.mark.cuda
DEVICE = best_device()


def naive(q: Tensor, k: Tensor, v: Tensor, window: int | None, documents: Tensor | None) -> Tensor:
    """Attention in float64, pair by pair."""
    T = q.shape[2]
    age = torch.arange(T)[:, None] - torch.arange(T)[None]
    seen = (age >= 0) & (age < (window or T))
    if documents is not None:
        seen = seen & (documents[:, None, :, None] == documents[:, None, None, :])
    repeated = [one.double().repeat_interleave(q.shape[1] // k.shape[1], 1) for one in (k, v)]
    scores = q.double() @ repeated[0].mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~seen, -torch.inf).softmax(-1) @ repeated[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["causal", "window", "documents", "both"])
def test_attention_and_its_gradients(kind: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, heads, 160, 64, generator=generator).to(dtype) for heads in (4, 2, 2))
    window = 40 if kind in ("window", "both") else None
    documents = (torch.arange(160) // 50).expand(2, -1) if kind in ("documents", "both") else None
    runs = None if documents is None else runs_of(documents.to(DEVICE))[0]
    expected_given = [one.clone().requires_grad_() for one in (q, k, v)]
    given = [one.to(DEVICE).requires_grad_() for one in (q, k, v)]
    out = attend(*given, mask_of(160, window, runs, DEVICE, flex_fits(DEVICE, 64, 0.0)))
    expected = naive(*expected_given, window, documents)
    weight = torch.randn(expected.shape, generator=generator)
    (out.float() * weight.to(DEVICE)).sum().backward()
    (expected.float() * weight).sum().backward()
    tolerance = 2e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(out.cpu().double(), expected, atol=tolerance, rtol=tolerance)
    for one, other in zip(given, expected_given, strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad.cpu().float(), other.grad.float(), atol=4 * tolerance, rtol=4 * tolerance)


def loss_sum(of: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    assert isinstance(of, CustomLanguageModel)
    return of.loss_sum(*batch), {}


def losses(device: torch.device, precision: Precision, optimizer: str, compiled: bool = False) -> list[float]:
    model = tiny.model(hidden_size=64, head_dim=16, spread=0.05)
    if compiled:
        compile_blocks(model.model.layers)
    made = make_optimizer(OptimizerConfig.model_validate({"name": optimizer}))
    engine = SingleDevice(model, made, device, precision)
    found = []
    for step in range(6):
        ids = tiny.ids(4, 33, seed=step % 2).to(device)
        batch = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
        found.append(engine.train_step([batch], [batch[1].numel()], loss_sum, 1e-2, 1.0).loss)
    return found


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "adafactor", "adamw_8bit"])
def test_training_steps_are_the_cpu_s(optimizer: str) -> None:
    expected = losses(torch.device("cpu"), "fp32", optimizer)
    assert expected[-1] < expected[0]  # the batches come again
    assert losses(DEVICE, "fp32", optimizer) == pytest.approx(expected, rel=2e-3)


def test_bf16_training_follows_fp32() -> None:
    precision = resolve_precision("auto", DEVICE)
    assert losses(DEVICE, precision, "adamw") == pytest.approx(losses(torch.device("cpu"), "fp32", "adamw"), rel=3e-2)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="compiled layers on the CPU: tests/parallel/test_compilation.py")
def test_compiled_layers_train_alike() -> None:
    if torch.__version__ < SINCE:
        pytest.skip(f"compiled layers need PyTorch {SINCE}")
    eager, compiled = (losses(DEVICE, "fp32", "adamw", compiled) for compiled in (False, True))
    assert compiled == pytest.approx(eager, rel=1e-3)


def test_the_head_and_loss_without_all_logits() -> None:
    model = tiny.model()
    ids = tiny.ids(3, 24)
    logits, _ = model(ids)
    expected = F.cross_entropy(logits.double().flatten(0, 1), ids.flatten(), reduction="sum")
    on_device = tiny.model().to(DEVICE)
    found = on_device.loss_sum(ids.to(DEVICE), ids.to(DEVICE))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "mistral"])
def test_greedy_tokens_are_the_cpu_s(family: str) -> None:
    fields = {**FAMILIES[family], "num_key_value_heads": 4} if family == "gpt2" else dict(FAMILIES[family])
    prompts = [[1, 2, 3], [5], [7, 8, 9, 10, 11, 12]]

    def continued(device: torch.device) -> list[list[int]]:
        engine = InferenceEngine(tiny.model(**fields).to(device).eval().requires_grad_(False), slots=2)
        requests = [engine.add(prompt, max_tokens=12) for prompt in prompts]
        engine.run()
        return [request.tokens for request in requests]

    assert continued(DEVICE) == continued(torch.device("cpu"))


def test_a_sample_depends_on_its_own_seed_alone() -> None:
    model = tiny.model().to(DEVICE).eval().requires_grad_(False)

    def sampled(seeds: list[int]) -> dict[int, list[int]]:
        engine = InferenceEngine(model, slots=4)
        made = {seed: engine.add([1, 2], max_tokens=10, sampling=Sampling(1.0, seed=seed)) for seed in seeds}
        engine.run()
        return {seed: request.tokens for seed, request in made.items()}

    together, alone = sampled([1, 2, 3, 4, 5]), sampled([3])
    assert together[3] == alone[3]
    assert len({tuple(tokens) for tokens in together.values()}) > 1


@pytest.mark.skipif(DEVICE.type != "cuda", reason="memory is counted on a GPU")
def test_freed_memory_is_free_again() -> None:
    before = torch.cuda.memory_allocated(DEVICE)
    losses(DEVICE, "fp32", "adamw")
    assert torch.cuda.memory_allocated(DEVICE) <= before + (1 << 20)
