"""How the next token is chosen: from logits to ids, for all rows of a batch together, on their device.

    logits + bias - penalties  ->  / temperature  ->  softmax  ->  top-k, min-p, top-p  ->  u in [0, 1) picks

A row's u comes from its request's own seed, one per token, and picks the first token at which the cumulative sum of
probabilities exceeds u times their total. So a request's samples don't depend on which others are in the batch.

Suffixes: B rows, V vocabulary, C candidates.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from groundup.errors import GroundupError

COLDEST = 1e-5  # below it, sampling is greedy
CANDIDATES = 256  # of the likeliest tokens that are sorted first; all are where top-p asks for more


@dataclass(frozen=True)
class Sampling:
    """How a request's tokens are chosen.

        >>> from groundup.inference import Sampling
        >>> Sampling(temperature=0.8, top_p=0.95, seed=1).greedy
        False

    Args:
        temperature: logits are divided by it; 0 takes the likeliest token, of equal ones that with the smaller id.
        top_p: keep the likeliest tokens that together have this probability (nucleus sampling, arXiv 1904.09751).
        top_k: keep this many of the likeliest tokens; 0: all.
        min_p: keep tokens at least this many times as likely as the likeliest (arXiv 2407.01082).
        repetition_penalty: divide positive logits of tokens in the prompt or the answer by it, multiply negative ones
            (CTRL, arXiv 1909.05858).
        presence_penalty: subtract it from the logits of tokens in the answer.
        frequency_penalty: subtract it as often as a token is in the answer.
        logit_bias: what is added to the logits of tokens.
        seed: of the request's own random numbers; None: drawn from the system.

    Raises:
        GroundupError: a value is outside its range.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (self.temperature >= 0, "at least 0"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "top_k": (self.top_k >= 0, "at least 0"),
            "min_p": (0 <= self.min_p <= 1, "between 0 and 1"),
            "repetition_penalty": (self.repetition_penalty >= 0.01, "at least 0.01"),
        }
        for name, (fits, wanted) in ranges.items():
            if not fits:
                raise GroundupError(f"{name} is {getattr(self, name)}", where="sampling", do=f"make it {wanted}")

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn: at temperatures that logits can't be divided by, too."""
        return self.temperature < COLDEST

    @property
    def filters(self) -> bool:
        """Whether some tokens can't be drawn."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0

    @property
    def adjusts(self) -> bool:
        """Whether logits change with the tokens so far, or by a bias."""
        penalties = (self.repetition_penalty - 1, self.presence_penalty, self.frequency_penalty)
        return any(penalties) or bool(self.logit_bias)


GREEDY = Sampling()


class History:
    """What a request's penalties are computed from, kept up to date token by token."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self.sampling = sampling
        self._seen, self._counts = set(prompt), Counter[int]()

    def add(self, token: int) -> None:
        """One more token of the answer."""
        self._seen.add(token)
        self._counts[token] += 1

    def adjust(self, logits_V: Tensor) -> None:
        """Apply bias and penalties in place."""
        sampling = self.sampling
        if sampling.repetition_penalty != 1:
            seen = torch.tensor(sorted(self._seen), device=logits_V.device)
            values = logits_V[seen]
            penalty = sampling.repetition_penalty
            logits_V[seen] = torch.where(values > 0, values / penalty, values * penalty)
        changes = dict(sampling.logit_bias)
        for token, count in self._counts.items():
            penalty = sampling.presence_penalty + sampling.frequency_penalty * count
            changes[token] = changes.get(token, 0.0) - penalty
        if changes:
            tokens = torch.tensor(list(changes), device=logits_V.device)
            logits_V[tokens] += torch.tensor(list(changes.values()), device=logits_V.device)


def random_numbers(seed: int | None) -> np.random.Generator:
    """A request's source of random numbers."""
    return np.random.Generator(np.random.PCG64(seed))


def choose(logits_BV: Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """The next token of each row.

    Args:
        logits_BV: float32, with bias and penalties applied.
        uniforms: a random number in [0, 1) for each row; those of greedy rows count for nothing.
    """
    chosen_B = logits_BV.argmax(-1)
    plain = [row for row, one in enumerate(samplings) if not one.greedy and not one.filters]
    filtered = [row for row, one in enumerate(samplings) if not one.greedy and one.filters]
    for rows, draw in ((plain, _draw), (filtered, _draw_filtered)):  # the same token whoever else is in the batch
        if rows:
            some_BV = logits_BV if len(rows) == len(logits_BV) else logits_BV[rows]
            some = [samplings[row] for row in rows]
            temperatures_B1 = _column([one.temperature for one in some], logits_BV)
            probabilities_BV = torch.softmax(some_BV / temperatures_B1, -1)
            chosen_B[rows] = draw(probabilities_BV, some, [uniforms[row] for row in rows])
    chosen: list[int] = chosen_B.tolist()
    return chosen


def log_chances(logits_BV: Tensor, samplings: Sequence[Sampling], tokens: Sequence[int]) -> list[float]:
    """The log-probability, in nats, of each row's token in the distribution that `choose` drew it from.

    Args:
        logits_BV: as `choose` had them.
        samplings: without filters, which would leave only a part of the distribution, and not greedy.
    """
    temperatures_B1 = _column([one.temperature for one in samplings], logits_BV)
    scaled_BV = logits_BV.float() / temperatures_B1
    rows_B = torch.arange(len(tokens), device=logits_BV.device)
    chosen_B = scaled_BV[rows_B, torch.tensor(tokens, device=logits_BV.device)]
    chances: list[float] = (chosen_B - scaled_BV.logsumexp(-1)).tolist()
    return chances


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    """A value for each row, float32 [B, 1]."""
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]


def _draw(probabilities_BV: Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> Tensor:
    """Sampled ids of all tokens, int64 [B]."""
    return _search(probabilities_BV, uniforms)


def _draw_filtered(probabilities_BV: Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> Tensor:
    """Sampled ids of the tokens that top-k, min-p and top-p leave, int64 [B]."""
    vocabulary = probabilities_BV.shape[1]
    wanted = max(_candidates(one, vocabulary) for one in samplings)
    ordered_BC, ids_BC = probabilities_BV.topk(min(wanted, vocabulary), sorted=True)
    top_p_B1, min_p_B1 = (
        _column([getattr(one, name) for one in samplings], probabilities_BV) for name in ("top_p", "min_p")
    )
    limited_B1 = _column([one.top_k > 0 or one.min_p > 0 for one in samplings], probabilities_BV).bool()
    if ((ordered_BC.sum(-1, keepdim=True) < top_p_B1) & ~limited_B1).any():
        ordered_BC, ids_BC = probabilities_BV.sort(dim=-1, descending=True)
    rank_C = torch.arange(ordered_BC.shape[1], device=ordered_BC.device)
    kept_BC = rank_C < _column([one.top_k or vocabulary for one in samplings], probabilities_BV)
    ordered_BC = ordered_BC * (kept_BC & (ordered_BC >= min_p_B1 * ordered_BC[:, :1]))
    total_B1 = torch.where(limited_B1, ordered_BC.sum(-1, keepdim=True), 1)  # top-p is of what the others have left
    within_BC = ordered_BC.cumsum(-1) - ordered_BC < top_p_B1 * total_B1
    ordered_BC = ordered_BC * (within_BC | (rank_C == 0))  # the likeliest stays, however small top-p is
    return ids_BC.gather(1, _search(ordered_BC, uniforms)[:, None])[:, 0]


def _candidates(sampling: Sampling, vocabulary: int) -> int:
    """How many of the likeliest tokens a row needs in order."""
    if sampling.top_k:
        return sampling.top_k
    return CANDIDATES if sampling.top_p < 1 and sampling.min_p == 0 else vocabulary


def _search(weights_BC: Tensor, uniforms: Sequence[float]) -> Tensor:
    """The first column of each row at which the cumulative sum exceeds u times the row's sum; never one of weight 0."""
    sums_BC = weights_BC.cumsum(-1, dtype=torch.float64)
    total_B1 = sums_BC[:, -1:]
    wanted_B1 = torch.tensor(uniforms, dtype=torch.float64, device=sums_BC.device)[:, None] * total_B1
    below_B1 = torch.nextafter(total_B1, torch.zeros_like(total_B1))  # where the multiplication has rounded up
    return torch.searchsorted(sums_BC, torch.minimum(wanted_B1, below_B1), right=True)[:, 0]
