"""Every kernel computes what the plain formula says under every mask, and masks are what brute force says."""

from itertools import pairwise

import families
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tiny
from groundup.errors import GroundupError
from groundup.model.attention import (
    attend,
    attend_eager,
    compiled_flex_attention,
    flash3_takes,
    flex_fits,
    mask_of,
    runs_of,
    tensor_mask,
)
from groundup.model.blockwise import BLOCK, KEPT, attend_blockwise

CPU = torch.device("cpu")
documents_ = st.lists(st.integers(0, 2), min_size=1, max_size=24)


def eager(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """The formula, one head after the other: softmax(q k^T / sqrt(K)) v over what is seen."""
    rows = []
    for row in range(len(q)):
        heads = []
        for head in range(q.shape[1]):
            group = head * k.shape[1] // q.shape[1]
            scores = q[row, head] @ k[row, group].T / q.shape[-1] ** 0.5
            scores = torch.where(seen[row % len(seen), 0], scores, torch.tensor(float("-inf")))
            heads.append(scores.softmax(-1) @ v[row, group])
        rows.append(torch.stack(heads))
    return torch.stack(rows)


def brute_force(documents: list[int], window: int | None) -> list[list[bool]]:
    """Which keys each query sees, by walking back from it."""
    seen = [[False] * len(documents) for _ in documents]
    for query in range(len(documents)):
        for back in range(query + 1):
            key = query - back
            if documents[key] != documents[query] or back == window:
                break
            seen[query][key] = True
    return seen


@given(documents_, st.one_of(st.none(), st.integers(1, 30)))
def test_masks_are_those_of_brute_force(documents: list[int], window: int | None) -> None:
    T, runs_BT = len(documents), runs_of(torch.tensor([documents]))[0]
    assert tensor_mask(T, window, runs_BT, CPU)[0, 0].tolist() == brute_force(documents, window)
    assert tensor_mask(T, window, None, CPU)[0, 0].tolist() == brute_force([0] * T, window)
    assert (mask_of(T, window, None, CPU, flex=False) is None) == (window is None or window >= T)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_runs_number_the_documents_of_a_row(lengths: list[int]) -> None:
    documents = torch.tensor([[7 * (number % 2) for number, length in enumerate(lengths) for _ in range(length)]])
    runs, positions = runs_of(documents)
    assert positions.tolist() == [[position for length in lengths for position in range(length)]]
    assert runs.diff().sum() == len(lengths) - 1


MASKS = {"one token": (1, None, False), "causal": (31, None, False), "window": (31, 5, False)}
MASKS |= {"documents": (31, None, True), "both": (31, 5, True)}


@pytest.mark.parametrize("kernel", ["eager", "sdpa", "flex", "blockwise"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize("case", MASKS)
def test_kernels_are_the_formula(kernel: str, kv_heads: int, case: str) -> None:
    """Outputs and gradients; of flex attention the eager form's outputs, as it has no gradients on a CPU."""
    length, window, packed = MASKS[case]
    generator = torch.Generator().manual_seed(length)
    q, k, v, direction = (torch.randn(2, heads, length, 8, generator=generator) for heads in (4, kv_heads, kv_heads, 4))
    documents = (torch.arange(length) // 9)[None].expand(2, -1) + torch.tensor([[0], [1]])
    runs_BT = runs_of(documents)[0] if packed else None
    seen = tensor_mask(length, window, runs_BT, CPU)
    if kernel == "flex":
        found = attend(q, k, v, mask_of(length, window, runs_BT, CPU, flex=True))
        assert torch.allclose(found, eager(q, k, v, seen), atol=1e-6)
        return
    for tensor in (q, k, v):
        tensor.requires_grad_()
    if kernel == "eager":
        found = attend_eager(q, k, v, seen)
    elif kernel == "blockwise":
        found = attend(q, k, v, mask_of(length, window, runs_BT, CPU, flex=False))
    else:
        found = F.scaled_dot_product_attention(q, k, v, seen, enable_gqa=True)
    expected = eager(q, k, v, seen)
    assert torch.allclose(found, expected, atol=1e-6)
    ours = torch.autograd.grad((found * direction).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * direction).sum(), (q, k, v))
    assert tiny.largest_difference(ours, theirs) < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 2 * BLOCK + 70) | st.just(KEPT + 30),
    st.sampled_from([(4, 4), (4, 2), (3, 1)]),
    st.none() | st.integers(1, 300),
    st.none() | st.integers(1, 200),
    st.integers(0, 2**31),
)
def test_blocks_of_queries_are_the_formula(
    T: int, heads: tuple[int, int], window: int | None, document: int | None, seed: int
) -> None:
    """In float64, whatever the number of blocks, the window and the documents; both outputs and gradients."""
    generator = torch.Generator().manual_seed(seed)
    H, G = heads
    tensors = [torch.randn(2, T, n, 8, generator=generator, dtype=torch.float64) for n in (H, G, G, H)]
    q, k, v, direction = (x.transpose(1, 2) for x in tensors)
    runs_BT = None
    if document is not None:
        runs_BT = runs_of((torch.arange(T) + torch.tensor([[0], [seed % 50]])) // document)[0]
    for tensor in (q, k, v):
        tensor.requires_grad_()
    expected = F.scaled_dot_product_attention(q, k, v, tensor_mask(T, window, runs_BT, CPU), enable_gqa=True)
    found = attend_blockwise(q, k, v, window, runs_BT)
    assert torch.allclose(found, expected, atol=1e-12)
    theirs = torch.autograd.grad((expected * direction).sum(), (q, k, v))
    ours = torch.autograd.grad((found * direction).sum(), (q, k, v))
    assert tiny.largest_difference(ours, theirs) < 1e-11


def test_blocks_of_queries_in_bfloat16() -> None:
    """As near to float32 as the formula in bfloat16 itself."""
    generator = torch.Generator().manual_seed(3)
    exact = [torch.randn(2, 300, heads, 64, generator=generator).transpose(1, 2) for heads in (4, 2, 2, 4)]
    results = {}
    for name, dtype in (("exact", torch.float32), ("eager", torch.bfloat16), ("blockwise", torch.bfloat16)):
        q, k, v, direction = (x.to(dtype) for x in exact)
        for tensor in (q, k, v):
            tensor.requires_grad_()
        found = attend_blockwise(q, k, v) if name == "blockwise" else attend_eager(q, k, v)
        results[name] = (found, *torch.autograd.grad((found * direction).sum(), (q, k, v)))

    def error(name: str) -> float:
        pairs = zip(results[name], results["exact"], strict=True)
        return max(((a.float() - b).norm() / b.norm()).item() for a, b in pairs)

    assert error("blockwise") < max(1.2 * error("eager"), 0.01)


def test_kernels_of_gpus_are_not_for_a_cpu() -> None:
    assert not flex_fits(CPU, 64, 0.0)
    assert flex_fits(torch.device("cuda"), 64, 0.0)
    assert not flex_fits(torch.device("cuda"), 24, 0.0)
    assert not flex_fits(torch.device("cuda"), 64, 0.1)
    assert not flash3_takes(torch.zeros(1, 1, 1, 64, dtype=torch.bfloat16))


@pytest.mark.slow
def test_compiled_flex_attention_is_the_formula() -> None:
    """The kernel that a compiler makes of it for this CPU, forward alone (it has no backward there)."""
    q, k, v = (torch.randn(1, heads, 256, 16, generator=torch.Generator().manual_seed(heads)) for heads in (4, 2, 2))
    runs_BT = runs_of((torch.arange(256) // 70)[None])[0]
    blocks, mask = mask_of(256, 40, runs_BT, CPU, flex=True), tensor_mask(256, 40, runs_BT, CPU)
    with torch.no_grad():
        found = compiled_flex_attention()(q, k, v, block_mask=blocks, enable_gqa=True)
    assert torch.allclose(found, attend_eager(q, k, v, mask), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(documents_, st.integers(0, 9))
def test_a_token_depends_on_its_document_and_window_alone(documents: list[int], seed: int) -> None:
    """Whatever it can't reach is changed, all at once, and its logits stay bit for bit."""
    ours, T = families.make("mistral", seed=1), len(documents)
    idx, numbers = tiny.ids(1, T, seed=seed), torch.tensor([documents])
    layers = ours.config.num_hidden_layers
    seen = torch.tensor(brute_force(documents, 7)).float()
    reached = torch.linalg.matrix_power(seen, layers)[-1] > 0  # through the windows of all layers
    with torch.no_grad():
        before = ours(idx, documents_BT=numbers)[0][0, -1]
        other = torch.where(reached, idx, (idx + 1) % 61)
        assert torch.equal(ours(other, documents_BT=numbers)[0][0, -1], before)
        assert not torch.equal(ours((idx + 1) % 61, documents_BT=numbers)[0][0, -1], before)


def test_rows_beyond_the_context_are_refused() -> None:
    for shape in ("llama", "gpt2"):
        ours = families.make(shape, max_position_embeddings=16).eval()
        padded, _ = ours(tiny.ids(1, 24))  # padding up to a multiple of 8 may reach beyond it
        assert torch.allclose(padded[:, :16], ours(tiny.ids(1, 24)[:, :16])[0], atol=1e-5)
        with pytest.raises(GroundupError, match="rows of 25 tokens, the model's context has 16"):
            ours(tiny.ids(1, 25))


def test_packed_rows_have_the_positions_of_their_documents() -> None:
    """Learned positions start again, so a row may hold more documents than fit in a context one after another."""
    ours = families.make("gpt2", max_position_embeddings=40)
    idx, ends = tiny.ids(1, 40), torch.tensor([0, 15, 16, 40])
    found, _ = ours(idx, documents_BT=torch.bucketize(torch.arange(40), ends, right=True)[None])
    for first, last in pairwise(ends.tolist()):
        assert torch.allclose(found[:, first:last], ours(idx[:, first:last])[0], atol=1e-4)
