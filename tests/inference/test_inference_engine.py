"""The engine's answers are those of full forward passes, whoever else is being answered and whatever is reused."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.errors import GroundupError
from groundup.inference import compiled
from groundup.inference import engine as engine_module
from groundup.inference.engine import InferenceEngine
from groundup.inference.request import Request
from groundup.inference.sampling import Sampling
from groundup.inference.speculation import NgramDraft
from groundup.kernels.matmul import HAS_BFLOAT16
from groundup.model.configuration import FAMILIES, Family
from groundup.model.decoder import CustomLanguageModel

STOP = 60
PROMPTS = [[number % 60, *range(number % 7)] for number in range(1, 40, 3)]


def untied(context: int = 64, stops: float = 1.0, **fields: object) -> CustomLanguageModel:
    """A tied random model repeats one token. `stops` above 1 makes the stop token likelier."""
    made = tiny.model(seed=5, tie_word_embeddings=False, max_position_embeddings=context, **fields).eval()
    with torch.no_grad():
        made.lm_head.weight[STOP] *= stops
    return made


def by_full_passes(model: CustomLanguageModel, prompt: list[int], max_tokens: int) -> tuple[list[int], str]:
    ids, answer = list(prompt), list[int]()
    with torch.no_grad():
        while len(answer) < max_tokens and len(ids) < model.config.max_position_embeddings:
            answer.append(int(model(torch.tensor([ids]))[0][0, -1].argmax()))
            ids.append(answer[-1])
            if answer[-1] == STOP:
                return answer, "stop"
    return answer, "length"


def outcome(request: Request) -> tuple[list[int], str | None]:
    return request.tokens, request.finish


@settings(max_examples=25, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, 59), min_size=1, max_size=19), min_size=1, max_size=12),
    slots=st.sampled_from([1, 2, 3, 12]),
    max_tokens=st.integers(1, 12),
    prefill=st.sampled_from([1, 4, 512]),
    by_kernel=st.sampled_from([0, 8, 64]),
)
def test_greedy_answers_are_those_of_full_passes(
    prompts: list[list[int]], slots: int, max_tokens: int, prefill: int, by_kernel: int
) -> None:
    """Of any lengths, in few slots or many, with prompts in chunks, read by the kernel or PyTorch, up to the end of the
    context."""
    made = untied(context=20, stops=2.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "PREFILL", prefill)
        patch.setattr(engine_module, "MIN_REUSE", 1)
        patch.setattr(compiled, "PROMPT_ROWS", by_kernel)
        engine = InferenceEngine(made, slots=slots)
        requests = [engine.add(prompt, max_tokens=max_tokens, stop={STOP}) for prompt in prompts]
        engine.run()
    for prompt, request in zip(prompts, requests, strict=True):
        assert outcome(request) == by_full_passes(made, prompt, max_tokens)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_reads_prompts_as_pytorch_does(
    family: Family, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the cache then, of several prompts at once, past the window."""
    fields = {"max_position_embeddings": 40, "tie_word_embeddings": False, **FAMILIES[family]}
    made = tiny.model(seed=5, **fields | ({"sliding_window": 4} if family == "mistral" else {})).eval()
    if not compiled.supports(made, dtype):
        pytest.skip("this processor does not multiply bfloat16")
    caches = []
    for rows in (0, 64):
        monkeypatch.setattr(compiled, "PROMPT_ROWS", rows)
        engine = InferenceEngine(made, slots=4, dtype=dtype)
        for prompt in PROMPTS[6:10]:
            engine.add(prompt, max_tokens=1)
        engine.run()
        keys_and_values = torch.stack((engine._cache.keys, engine._cache.values))  # [2, L, slots, G, capacity, K]
        held = [(slot.held, keys_and_values[:, :, row, :, : len(slot.held)]) for row, slot in enumerate(engine._slots)]
        caches.append(torch.cat([found for _, found in sorted(held, key=lambda one: one[0])], dim=3))
    assert caches[0].shape == caches[1].shape and caches[0].shape[3] == sum(map(len, PROMPTS[6:10]))
    error = (caches[0] - caches[1]).norm() / caches[0].norm()
    assert error < (1e-5 if dtype == torch.float32 else 2e-2)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "qwen2", "qwen3", "mixtral", "qwen3_moe"])
@pytest.mark.parametrize("slots", [3, 12])
def test_so_are_those_of_every_family(family: Family, slots: int) -> None:
    """With few rows by the compiled step where the model is dense, with many by PyTorch; past the window."""
    fields = {"max_position_embeddings": 20, "tie_word_embeddings": False, **FAMILIES[family]}
    fields |= {"sliding_window": 4} if family == "mistral" else {}
    fields |= {"num_experts": 4, "num_experts_per_tok": 2} if "num_experts" in fields else {}
    made = tiny.model(seed=5, **fields).eval()
    engine = InferenceEngine(made, slots=slots)
    requests = [engine.add(prompt, max_tokens=9, stop={STOP}) for prompt in PROMPTS]
    engine.run()
    assert [outcome(request) for request in requests] == [by_full_passes(made, prompt, 9) for prompt in PROMPTS]
    assert len({token for request in requests for token in request.tokens}) > 5


@pytest.mark.parametrize("slots", [1, 3, 20])
def test_samples_depend_on_the_request_s_seed_alone(slots: int) -> None:
    made = untied()

    def sample(order: list[int]) -> dict[int, list[int]]:
        engine = InferenceEngine(made, slots=slots)
        requests = {
            row: engine.add(PROMPTS[row], max_tokens=9, sampling=Sampling(1.0, top_p=0.9, seed=row)) for row in order
        }
        engine.run()
        return {row: request.tokens for row, request in requests.items()}

    everyone = sample(list(range(len(PROMPTS))))
    assert sample(list(reversed(range(len(PROMPTS))))) == everyone
    assert all(sample([row]) == {row: everyone[row]} for row in (0, 5))


class Reads(InferenceEngine):
    """Counts the tokens of prompts that are read."""

    read = 0

    def _append(self, first: int, starts: list[int], counts: list[int]) -> None:
        self.read += sum(counts)
        super()._append(first, starts, counts)


def test_samples_of_one_prompt_read_it_once() -> None:
    """Those that come together, and those that come later; in fewer slots than there are samples, too."""
    made, prompt = untied(), list(range(30))
    for slots in (2, 4, 8):
        engine = Reads(made, slots=slots)
        requests = [engine.add(prompt, max_tokens=6, sampling=Sampling(1.0, seed=seed)) for seed in range(4)]
        engine.run()
        requests.append(engine.add(prompt, max_tokens=6, sampling=Sampling(1.0, seed=3)))
        engine.run()
        assert engine.read == len(prompt) - 1
        assert len({tuple(request.tokens) for request in requests[:4]}) == 4
        assert requests[3].tokens == requests[4].tokens


def test_a_conversation_s_next_turn_reads_what_is_new() -> None:
    made = untied()
    engine = Reads(made, slots=3)
    first = engine.add(list(range(20)), max_tokens=8)
    other = engine.add(list(range(30, 50)), max_tokens=5)
    engine.run()
    engine.read = 0
    turn = [*first.prompt, *first.tokens, 7, 8, 9]
    second = engine.add(turn, max_tokens=5)
    engine.run()
    assert engine.read == 3  # the answer's last token, and two of the three new ones
    assert second.tokens == by_full_passes(made, turn, 5)[0]
    assert other.tokens == by_full_passes(made, other.prompt, 5)[0]


def test_a_cancelled_request_frees_its_slot_and_disturbs_nobody() -> None:
    made = untied()
    engine = InferenceEngine(made, slots=2)
    requests = [engine.add(prompt, max_tokens=10) for prompt in PROMPTS[:6]]
    for _ in range(3):
        engine.step()
    engine.cancel(requests[0])
    engine.cancel(requests[4])  # it waits
    engine.step()
    assert len(requests[2].tokens) == 1
    engine.run()
    assert [request.finish for request in requests] == [
        "cancelled",
        "length",
        "length",
        "length",
        "cancelled",
        "length",
    ]
    assert len(requests[0].tokens) == 3
    for row in (1, 2, 3, 5):
        assert requests[row].tokens == by_full_passes(made, PROMPTS[row], 10)[0]
    assert not engine.busy


def test_weights_that_have_changed_are_read_again() -> None:
    made = untied()
    engine = InferenceEngine(made, slots=2)
    engine.add(PROMPTS[3], max_tokens=5)
    engine.run()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(-1.3)
    engine.forget()
    again = engine.add(PROMPTS[3], max_tokens=5)
    engine.run()
    assert again.tokens == by_full_passes(made, PROMPTS[3], 5)[0]


@pytest.mark.parametrize("slots", [2, 12])
def test_log_probabilities_are_the_model_s_own(slots: int) -> None:
    """Whatever the temperature and the penalties; the chosen token's and the likeliest ones'."""
    made = untied()
    engine = InferenceEngine(made, slots=slots)
    sampling = Sampling(1.5, presence_penalty=0.5, seed=1)
    requests = [engine.add(prompt, max_tokens=6, sampling=sampling, top=3) for prompt in PROMPTS]
    engine.run()
    for request in requests:
        with torch.no_grad():
            logits = made(torch.tensor([request.prompt + request.tokens]))[0][0]
        exact = torch.log_softmax(logits, -1)[len(request.prompt) - 1 : -1]
        for token, found, top, row in zip(request.tokens, request.logprobs, request.top_logprobs, exact, strict=True):
            assert found == pytest.approx(float(row[token]), abs=1e-4)
            assert list(top) == row.topk(3).indices.tolist()
            assert list(top.values()) == pytest.approx(row.topk(3).values.tolist(), abs=1e-4)


def test_bfloat16_and_int8_are_near_float32() -> None:
    made = untied()
    for options in ({"dtype": torch.bfloat16}, {"int8": True}):
        engine = InferenceEngine(made, slots=1, **options)  # type: ignore[arg-type]
        request = engine.add(PROMPTS[4], max_tokens=1, top=61)
        engine.run()
        exact = torch.log_softmax(made(torch.tensor([PROMPTS[4]]))[0][0, -1].detach(), -1)
        found = [request.top_logprobs[0][token] for token in range(61)]
        assert float(exact.std()) > 1
        assert np.abs(np.array(found) - exact.numpy()).max() < 0.2
    assert made.lm_head.weight.dtype == torch.float32


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor doesn't multiply bfloat16")
@pytest.mark.parametrize("family", ["gpt2", "qwen3"])
def test_bfloat16_by_the_kernel_is_as_near_as_pytorch_s(family: Family) -> None:
    """To float32, in the mean over many positions."""
    made = tiny.model(
        seed=5, **{"max_position_embeddings": 64, "tie_word_embeddings": False, **FAMILIES[family]}
    ).eval()
    ids = tiny.ids(1, 60)
    engine = InferenceEngine(made, slots=4, dtype=torch.bfloat16)
    assert engine._compiled is not None
    requests = [engine.add(ids[0, : 2 * number + 2].tolist(), max_tokens=1, top=61) for number in range(24)]
    engine.run()
    found = torch.tensor([[one.top_logprobs[0][token] for token in range(61)] for one in requests])
    with torch.no_grad():
        exact = torch.log_softmax(made(ids)[0][0, 1:49:2], -1)
        with torch.autocast("cpu", torch.bfloat16):
            by_pytorch = torch.log_softmax(made(ids)[0][0, 1:49:2].float(), -1)
    off, theirs = (float((one - exact).abs().mean()) for one in (found, by_pytorch))
    assert 0 < off < 1.5 * theirs


def test_only_allowed_tokens_come() -> None:
    made = untied()
    engine = InferenceEngine(made, slots=2)

    def alternating(tokens: list[int]) -> torch.Tensor:
        return torch.arange(61) % 2 == len(tokens) % 2

    request = engine.add([1, 2], max_tokens=8, allowed=alternating)
    other = engine.add([3], max_tokens=8)
    engine.run()
    assert [token % 2 for token in request.tokens] == [0, 1] * 4
    assert other.tokens == by_full_passes(made, [3], 8)[0]


def test_a_caller_may_end_an_answer() -> None:
    made = untied()
    engine = InferenceEngine(made)
    seen: list[int] = []

    def fourth(token: int) -> bool:
        seen.append(token)
        return len(seen) == 4

    request = engine.add([1, 2], max_tokens=8, ends=fourth)
    engine.run()
    assert seen == request.tokens
    assert outcome(request) == (by_full_passes(made, [1, 2], 4)[0], "stop")


def test_prompts_that_cannot_be_continued_are_refused() -> None:
    engine = InferenceEngine(untied(context=16))
    for prompt, message in (([], "empty"), ([61], "from 0 to 60"), ([-1], "from 0 to 60"), ([1] * 16, "no room")):
        with pytest.raises(GroundupError, match=message):
            engine.add(prompt, max_tokens=1)
    assert engine.add([1], max_tokens=0).finish == "length"


def test_the_kernel_leaves_what_it_does_not_know_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the kernel had been written before there were sliding windows."""
    assert compiled.supports(untied()) and compiled.supports(untied(sliding_window=4))
    assert not compiled.supports(untied(num_experts=4))
    monkeypatch.setattr(compiled, "_COMPUTED", compiled._COMPUTED - {"sliding_window"})
    assert compiled.supports(untied()) and not compiled.supports(untied(sliding_window=4))


@pytest.mark.parametrize("shared", [0, 64])
@pytest.mark.parametrize("options", [{}, {"int8": True}, {"dtype": torch.bfloat16}])
def test_threads_change_nothing(options: dict[str, Any], shared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether each has some of the rows or a part of the work on all; also of a draft's guesses."""
    monkeypatch.setattr(compiled, "SHARED_ROWS", shared)
    monkeypatch.setattr(compiled, "WORTH_A_THREAD", 1)
    made = untied(attention_bias=True, mlp_bias=True)
    threads = torch.get_num_threads()
    for slots in (1, len(PROMPTS)):
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            engine = InferenceEngine(made, slots=slots, draft=NgramDraft(), **options)
            requests = [engine.add(prompt, max_tokens=9, stop={STOP}, top=0) for prompt in PROMPTS]
            engine.run()
            found.append(requests)
        torch.set_num_threads(threads)
        for alone, *others in zip(*found, strict=True):
            for other in others:
                assert outcome(other) == outcome(alone)
                assert other.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_each_field_of_a_configuration_is_computed_or_indifferent_or_switched_off() -> None:
    """A norm after the embedding is in the packed embedding; ways around the layers are PyTorch's."""
    assert compiled.supports(untied(embedding_norm=True))
    assert not compiled.supports(untied(smear=True))
    assert not compiled.supports(untied(stream_scalars=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_padding_of_a_vocabulary_is_never_drawn(dtype: torch.dtype) -> None:
    """Nor reported among the likeliest; what is drawn else has the chances of a model without those rows."""
    model = tiny.model(vocab_size=61).eval()
    engine = InferenceEngine(model, slots=8, dtype=dtype, words=40)
    asked = [
        engine.add([1, 2], max_tokens=20, sampling=Sampling(temperature=3.0, seed=seed), top=20) for seed in range(8)
    ]
    engine.run()
    assert all(token < 40 for request in asked for token in request.tokens)
    assert all(token < 40 for request in asked for found in request.top_logprobs for token in found)
    free = InferenceEngine(model, slots=1, dtype=dtype)
    one = free.add([1, 2], max_tokens=1, top=61)
    free.run()
    all_V = torch.tensor([one.top_logprobs[0][token] for token in range(61)])
    expected = torch.log_softmax(all_V[:40], 0)
    for token, logprob in asked[0].top_logprobs[0].items():
        assert logprob == pytest.approx(expected[token].item(), abs=1e-4)
