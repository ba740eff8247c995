"""The inference engine: many requests at once over the slots of one cache, each step one token further.

    engine = InferenceEngine(model, slots=8)
    request = engine.add([1, 2, 3], max_tokens=20, stop={0}, sampling=Sampling(temperature=0.8, seed=1))
    while not request.done:
        engine.step()

A request waits for a free slot. Then the beginning of its prompt that some slot holds already is reused: an earlier
turn of the same chat, another sample for the same prompt, the examples before a question. The rest of the prompt but
its last token is read in chunks, so that long prompts don't hold up the others for long. The last token, and then each
new one, goes through the decoder together with those of all other requests (continuous batching).

Active requests have the first slots, in no order; the slots after them keep what finished requests have left.
"""

import copy
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.inference import compiled
from groundup.inference.prompts import prompt_pass
from groundup.inference.request import Draft, Request, Slot
from groundup.inference.sampling import GREEDY, Sampling, choose, log_chances
from groundup.model.cache import Appended, KeyValueCache
from groundup.model.decoder import CustomLanguageModel
from groundup.model.experts import Experts
from groundup.model.inputs import DecoderInputs
from groundup.model.linear import Linear

PREFILL = 512  # tokens of prompts that are read between two decoding steps
ROWS = 8  # PyTorch's steps have a multiple of so many rows: few shapes, for which libraries prepare once
MIN_REUSE = 8  # tokens of a prompt's beginning for which another slot's are copied


class InferenceEngine:
    """Continues prompts with one model. Not for several threads at once.

        >>> from groundup.inference import InferenceEngine, Sampling
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=512, hidden_size=128, num_hidden_layers=2), seed=0)
        >>> engine = InferenceEngine(model, slots=2)
        >>> requests = [engine.add([seed, 7, 9], max_tokens=4, sampling=Sampling(1.0, seed=seed)) for seed in range(3)]
        >>> engine.run()
        >>> [(len(request.tokens), request.finish) for request in requests]
        [(4, 'length'), (4, 'length'), (4, 'length')]

    Args:
        slots: requests that are continued together.
        capacity: tokens of a prompt and its answer together; at most, and by default, the model's context.
        dtype: of matmuls: float32, bfloat16 or float16; the cache's too, but for bfloat16 by the kernel, which is
            where the processor multiplies it.
        int8: matrices as integers of 8 bits where a few rows are decoded on a CPU: half the time or less for one
            request, and weights that are off by up to 1/254 of their row's largest.
        draft: guesses next tokens, so that one step can confirm several; for a few requests on a CPU. The tokens are
            those that would come without it.
        words: ids from here on are never drawn: the padding of a vocabulary, which the tokenizer does not know.
    """

    def __init__(
        self,
        model: CustomLanguageModel,
        *,
        slots: int = 8,
        capacity: int | None = None,
        dtype: torch.dtype = torch.float32,
        int8: bool = False,
        draft: Draft | None = None,
        words: int | None = None,
    ) -> None:
        self._draft, self._words = draft, words
        self._source, self.dtype = model, dtype
        self.model = in_precision(model, dtype)
        self.device = model.lm_head.weight.device
        self.capacity = min(capacity or model.config.max_position_embeddings, model.config.max_position_embeddings)
        by_kernel = compiled.supports(model, dtype)
        cached = torch.float32 if by_kernel else dtype
        self._cache = KeyValueCache(model.config, slots, self.capacity, cached, self.device)
        self._slots = [Slot() for _ in range(slots)]
        self._active = 0
        self._waiting: deque[Request] = deque()
        int8 = int8 and dtype == torch.float32
        self._compiled = compiled.CompiledDecoder(model, self._cache, dtype=dtype, int8=int8) if by_kernel else None
        self._clock = 0

    @property
    def busy(self) -> bool:
        """Whether a request waits or is under way."""
        return self._active > 0 or bool(self._waiting)

    def add(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        stop: Collection[int] = (),
        sampling: Sampling = GREEDY,
        top: int | None = None,
        ends: Callable[[int], bool] | None = None,
        allowed: Callable[[list[int]], Tensor | None] | None = None,
    ) -> Request:
        """A request that the next steps work on; its fields grow with them.

        Args:
            stop: tokens that end the answer, and are its last.
            top: report log-probabilities, and the likeliest so many tokens at each position.
            ends: called with each new token; True ends the answer with it ("stop").
            allowed: called with the tokens so far; a bool tensor [V] of those that may come next, or None for all.

        Raises:
            GroundupError: the prompt is empty, fills the context, or has ids outside of the vocabulary.
        """
        vocabulary = self.model.config.vocab_size
        if not prompt or not all(0 <= token < vocabulary for token in prompt):
            what = f"a prompt needs tokens from 0 to {vocabulary - 1}" if prompt else "a prompt is empty"
            raise GroundupError(what, do="encode it with the model's tokenizer")
        if len(prompt) >= self.capacity:
            what = f"a prompt of {len(prompt)} tokens leaves no room in a context of {self.capacity}"
            raise GroundupError(what, do="shorten it")
        request = Request(list(prompt), max_tokens, frozenset(stop), sampling, top, ends, allowed)
        if max_tokens < 1:
            request.finish = "length"
        else:
            self._waiting.append(request)
        return request

    def cancel(self, request: Request) -> None:
        """End a request where it is; its slot is free at once. Nothing happens to one that is done."""
        if request.done:
            return
        request.finish = "cancelled"
        if request in self._waiting:
            self._waiting.remove(request)
        for index in range(self._active):
            if self._slots[index].request is request:
                self._release(index)
                break

    @torch.no_grad()
    def step(self) -> list[Request]:
        """Admit, read a part of the prompts, and give each request whose prompt is read one more token; these."""
        self._clock += 1
        self._admit()
        with self._precision():
            self._prefill()
            return self._decode()

    def run(self) -> None:
        """Steps until nothing is left to do."""
        while self.busy:
            self.step()

    def forget(self) -> None:
        """Drop what is kept for reuse, and read the model's weights again: they have changed.

        Raises:
            AssertionError: a request is under way.
        """
        assert not self.busy
        self._slots = [Slot() for _ in self._slots]
        self.model = in_precision(self._source, self.dtype)
        if self._compiled is not None:
            self._compiled.refresh()

    @contextmanager
    def _precision(self) -> Iterator[None]:
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            yield

    # ---- slots

    def _admit(self) -> None:
        """Give free slots to those that wait, with as much of their prompts as some slot holds already."""
        while self._waiting and self._active < len(self._slots):
            request = self._waiting.popleft()
            wanted = request.prompt[:-1]
            lengths = [_common(slot.held, wanted) for slot in self._slots]
            best = self._slots[max(range(len(lengths)), key=lengths.__getitem__)]
            length = max(lengths) if max(lengths) >= MIN_REUSE else 0
            free = self._slots[self._active :]
            # what is kept of another conversation is not given up for a beginning that both have
            slot = best if best in free and 2 * length > len(best.held) else min(free, key=lambda one: one.used)
            self._swap(self._slots.index(slot), self._active)
            if length and slot is not best:
                self._cache.copy(self._slots.index(best), self._active, length)
            slot.held = wanted[:length]
            slot.request = request
            slot.leader, slot.following = self._leader(request, len(slot.held))
            self._active += 1

    def _leader(self, request: Request, held: int) -> tuple[Request | None, int]:
        """A request whose prompt is still to be read, and with it more of this one's beginning than is held now."""
        found, longest = None, held + MIN_REUSE - 1
        for slot in self._slots[: self._active]:
            assert slot.request is not None
            length = _common(slot.request.prompt[:-1], request.prompt[:-1])
            if length > max(longest, len(slot.held)):
                found, longest = slot.request, length
        return found, longest

    def _release(self, index: int) -> None:
        """Take a request out of its slot; what the slot holds is kept, after the active ones."""
        slot = self._slots[index]
        slot.request, slot.leader, slot.used = None, None, self._clock
        self._active -= 1
        self._swap(index, self._active)

    def _swap(self, one: int, other: int) -> None:
        if one != other:
            slots = self._slots
            longest = max(len(slots[one].held), len(slots[other].held))
            if longest:
                self._cache.swap(one, other, longest)
            slots[one], slots[other] = slots[other], slots[one]

    # ---- passes

    def _prefill(self) -> None:
        """Read prompts but for their last tokens, up to `PREFILL` tokens; those that begin alike after each other."""
        budget = PREFILL
        while budget > 0 and (rows := self._to_read()):
            first, counts, starts = rows[0], list[int](), list[int]()
            for index in rows:
                count = min(self._slots[index].pending - 1, PREFILL)
                if counts and max(*counts, count) * (len(counts) + 1) > PREFILL:
                    break
                counts.append(count)
                starts.append(len(self._slots[index].held))
            self._append(first, starts, counts)
            budget -= max(counts) * len(counts)

    def _to_read(self) -> list[int]:
        """The first slots next to each other whose prompts are to be read, none of which waits for another."""
        ready = list[int]()
        for index, slot in enumerate(self._slots[: self._active]):
            if slot.leader is not None:
                self._follow(index)
            if slot.leader is None and slot.pending > 1:
                if ready and ready[-1] != index - 1:
                    break
                ready.append(index)
        return ready

    def _follow(self, index: int) -> None:
        """Copy from the leader what it has read of the common beginning, or go without where it is gone."""
        slot = self._slots[index]
        for other in range(self._active):
            if self._slots[other].request is slot.leader:
                if len(self._slots[other].held) >= slot.following:
                    break
                return
        else:
            slot.leader = None
            return
        self._cache.copy(other, index, slot.following)
        slot.held, slot.leader = self._slots[other].held[: slot.following], None

    def _append(self, first: int, starts: list[int], counts: list[int]) -> None:
        """Read `counts` tokens of the prompts in the slots from `first` on."""
        slots = self._slots[first : first + len(counts)]
        read = [slot.upcoming(count) for slot, count in zip(slots, counts, strict=True)]
        if self._compiled is not None and self._compiled.reads(sum(counts)):
            self._compiled.read(read, first, starts)
        else:
            ids_BT, appended = prompt_pass(self._cache, read, starts, first)
            self.model.features(DecoderInputs(ids_BT, cache=appended))
        for slot, tokens in zip(slots, read, strict=True):
            slot.held += tokens

    def _decode(self) -> list[Request]:
        """One more token for each request whose prompt is read, or some where guesses were right."""
        rows = [index for index, slot in enumerate(self._slots[: self._active]) if slot.pending == 1]
        if not rows:
            return []
        slots = [self._slots[index] for index in rows]
        requests = [slot.request for slot in slots if slot.request is not None]
        guesses = self._guesses(requests)
        logits_NV = self._logits(rows, guesses)
        if self._words is not None:
            logits_NV[:, self._words :] = -torch.inf
        ends = list(accumulate(1 + len(guess) for guess in guesses))
        going = list(range(len(rows)))
        number = 0
        while going:
            at = [ends[row] - len(guesses[row]) - 1 + number for row in going]
            logits_BV = logits_NV if len(at) == len(logits_NV) else logits_NV[at]
            tokens = self._chosen(logits_BV, [requests[row] for row in going])
            for row, token in zip(going, tokens, strict=True):
                self._accept(requests[row], token)
            going = [
                row
                for row, token in zip(going, tokens, strict=True)
                if not requests[row].done and guesses[row][number : number + 1] == [token]
            ]
            for row in going:  # the guess is in the cache already
                slots[row].held.append(requests[row].tokens[-1])
            number += 1
        for index, request in reversed([*zip(rows, requests, strict=True)]):
            if request.done:  # its slot is exchanged with the last active one, which has been looked at
                self._release(index)
        return requests

    def _guesses(self, requests: list[Request]) -> list[list[int]]:
        """Tokens that may follow each request's last one, as many as fit into a step of the compiled decoder."""
        found: list[list[int]] = [[] for _ in requests]
        room = compiled.MAX_GUESSED - len(requests)
        if self._draft is None or self._compiled is None or room <= 0:
            return found
        for row, request in enumerate(requests):
            length = len(request.prompt) + len(request.tokens)
            wanted = min(room // (len(requests) - row), request.max_tokens - len(request.tokens) - 1)
            wanted = min(wanted, self.capacity - length - 1)
            if wanted > 0:
                found[row] = self._draft.propose([*request.prompt, *request.tokens], wanted)
                room -= len(found[row])
        return found

    def _logits(self, rows: list[int], guesses: list[list[int]]) -> Tensor:
        """Float32 logits [N, V] after the pending token of each of these slots and each guess that follows it."""
        slots = [self._slots[index] for index in rows]
        ids, starts = [slot.upcoming(1)[0] for slot in slots], [len(slot.held) for slot in slots]
        for slot, token in zip(slots, ids, strict=True):
            slot.held.append(token)
        if self._compiled is not None:
            read = [[token, *guess] for token, guess in zip(ids, guesses, strict=True)]
            return self._compiled.step(
                [token for tokens in read for token in tokens],
                [index for index, tokens in zip(rows, read, strict=True) for _ in tokens],
                [start + number for start, tokens in zip(starts, read, strict=True) for number in range(len(tokens))],
            )
        width = min(-(-self._active // ROWS) * ROWS, len(self._slots))
        counts, all_starts, all_ids = ([0] * width for _ in range(3))
        for index, start, token in zip(rows, starts, ids, strict=True):
            counts[index], all_starts[index], all_ids[index] = 1, start, token
        appended = Appended(self._cache, all_starts, counts)
        idx_B1 = torch.tensor(all_ids, device=self.device)[:, None]
        x_BD = self.model.features(DecoderInputs(idx_B1, cache=appended))[:, 0]
        return self.model.head(x_BD)[rows]

    def _chosen(self, logits_BV: Tensor, requests: list[Request]) -> list[int]:
        """The next token of each request, its log-probabilities recorded."""
        changed = [row for row, request in enumerate(requests) if request.history or request.allowed]
        adjusted_BV = logits_BV.clone() if changed else logits_BV
        for row in changed:
            request = requests[row]
            if request.history is not None:
                request.history.adjust(adjusted_BV[row])
            if request.allowed is not None and (mask_V := request.allowed(request.tokens)) is not None:
                adjusted_BV[row].masked_fill_(~mask_V, float("-inf"))
        samplings = [request.sampling for request in requests]
        tokens = choose(adjusted_BV, samplings, [request.uniform() for request in requests])
        recorded = [row for row, request in enumerate(requests) if request.chances is not None]
        if recorded:
            some_BV = adjusted_BV if len(recorded) == len(requests) else adjusted_BV[recorded]
            found = log_chances(some_BV, [samplings[row] for row in recorded], [tokens[row] for row in recorded])
            for row, chance in zip(recorded, found, strict=True):
                chances = requests[row].chances
                assert chances is not None
                chances.append(chance)
        reported = [row for row, request in enumerate(requests) if request.top is not None]
        for row in reported:
            request, logprobs_V = requests[row], torch.log_softmax(logits_BV[row], -1)
            request.logprobs.append(float(logprobs_V[tokens[row]]))
            values, ids = logprobs_V.topk(min(request.top or 0, len(logprobs_V)))
            request.top_logprobs.append(dict(zip(ids.tolist(), values.tolist(), strict=True)))
        return tokens

    def _accept(self, request: Request, token: int) -> None:
        request.tokens.append(token)
        if request.history is not None:
            request.history.add(token)
        if token in request.stop or (request.ends is not None and request.ends(token)):
            request.finish = "stop"
        elif len(request.tokens) == request.max_tokens or len(request.prompt) + len(request.tokens) >= self.capacity:
            request.finish = "length"


def in_precision(model: CustomLanguageModel, dtype: torch.dtype) -> CustomLanguageModel:
    """The model itself in float32; else a copy whose matrices are kept as autocast would make them in each pass."""
    if dtype == torch.float32:
        return model
    lowered = copy.deepcopy(model)
    for module in lowered.modules():
        if isinstance(module, (Linear, Experts)):
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, nn.Parameter(parameter.to(dtype), requires_grad=False))
    return lowered


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:  # the usual case, without a loop in Python
        return shorter
    return next((index for index in range(shorter) if one[index] != other[index]), shorter)
