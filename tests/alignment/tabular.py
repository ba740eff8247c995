"""A language model so small that its best policy is known: at most 4 tokens from an alphabet of 5, or 625 answers.

    pi* is proportional to pi_ref exp(r / beta), and J* = beta ln sum pi_ref exp(r / beta)
(arXiv 2305.18290, equation 4), where J = E[r] - beta KL(pi | pi_ref). The classes have the interfaces that the real
training code uses, with a table where the decoder would be: a row per beginning of an answer, or per whole answer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch
from groundup.alignment.critic import ScalarModel, ValuedPolicy
from groundup.alignment.data.records import Task
from groundup.alignment.rollout import Sampler
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.parallel.engine import Engine

LETTERS, LONGEST = 5, 4
START = LETTERS  # the prompt's only token, never an answer's
SHAPE = LLMConfig(
    vocab_size=LETTERS + 1,
    hidden_size=2,
    intermediate_size=1,
    num_hidden_layers=1,
    num_attention_heads=1,
    num_key_value_heads=1,
    max_position_embeddings=LONGEST + 1,
)


def next_state(state: Tensor, token: Tensor) -> Tensor:
    """Beginnings are numbered as the nodes of a tree: the root is 0, and node s has children 5 s + 1 ... 5 s + 5."""
    return torch.where(token == START, 0, LETTERS * state + token + 1)


class TablePolicy(CustomLanguageModel):
    """Logits of the next letter, a row per beginning. `features` are the beginnings' numbers."""

    def __init__(self, logits_SA: Tensor) -> None:
        nn.Module.__init__(self)
        self.config = SHAPE
        self.table = nn.Parameter(logits_SA.clone())
        self.lm_head = nn.Linear(1, 1)  # asked for its device alone
        self.lm_head.requires_grad_(False)

    def features(self, inputs: DecoderInputs) -> Tensor:
        """The cache holds each slot's last state where the decoder would hold its first key."""
        assert inputs.documents_BT is None, "a table has one document per row"
        idx_BT, appended = inputs.ids_BT, inputs.cache
        states, state = [], torch.zeros(len(idx_BT), dtype=torch.long)
        if appended is not None:
            held = appended.cache.keys[0, appended.slots, 0, 0, 0]
            state = held.long()
        for token in idx_BT.unbind(1):
            state = next_state(state, token)
            states.append(state)
        if appended is not None:
            held.copy_(state)
        return torch.stack(states, 1)

    def head(self, x_N: Tensor) -> Tensor:
        return self.table[x_N]


class TableScalar(ScalarModel):
    """A number per beginning: a critic."""

    def __init__(self, numbers_S: Tensor) -> None:
        nn.Module.__init__(self)
        self.table = nn.Parameter(numbers_S.clone())

    def _states(self, batch: AnswerBatch) -> Tensor:
        states, state = [], torch.zeros(len(batch), dtype=torch.long)
        for token in batch.ids_BT.unbind(1):
            state = next_state(state, token)
            states.append(state)
        return torch.stack(states, 1)

    def values(self, batch: AnswerBatch) -> Tensor:
        return self.table[self._states(batch)[:, :-1][batch.answer_BT[:, 1:]]]


class TableValued(ValuedPolicy):
    """A table policy with a value for each of its features, which are beginnings."""

    def __init__(self, policy: TablePolicy) -> None:
        super().__init__(policy)
        self.score = nn.Linear(len(policy.table), 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def values_of(self, x_ND: Tensor) -> Tensor:
        return self.score.weight[0, x_ND]


class DirectSampler(Sampler):
    """Draws from the table itself, all answers at once: the inference engine's work for single tokens would be nearly
    all of the time. `test_rloo` in test_optimum.py samples through the engine."""

    def sample(
        self, policy: CustomLanguageModel, indices: Sequence[int], engine: Engine, seed: int
    ) -> tuple[list[Answer], list[list[float]]]:
        assert isinstance(policy, TablePolicy)
        generator = torch.Generator().manual_seed(seed)
        logp_SA = (policy.table[:, :LETTERS] / self.config.temperature).log_softmax(-1)
        state = torch.zeros(len(indices), dtype=torch.long)
        tokens, chances = [], []
        for _ in range(LONGEST):
            token = torch.multinomial(logp_SA[state].exp(), 1, generator=generator)[:, 0]
            tokens.append(token)
            chances.append(logp_SA[state, token])
            state = next_state(state, token)
        answers = [Answer([START], answer) for answer in torch.stack(tokens, 1).tolist()]
        return answers, torch.stack(chances, 1).tolist()


class World:
    """A random reference policy and a random reward, with the best that can be reached."""

    def __init__(self, seed: int, length: int = LONGEST, beta: float = 0.5) -> None:
        self.beta, self.beginnings = beta, sum(LETTERS**n for n in range(length))
        generator = torch.Generator().manual_seed(seed)
        self.reference_SA = torch.randn(self.beginnings, LETTERS, generator=generator)
        self.reward_Y = torch.randn(LETTERS**length, generator=generator)
        self.answers_YT = torch.cartesian_prod(*[torch.arange(LETTERS)] * length)
        best_Y = self.log_probabilities(self.reference_SA) + self.reward_Y / beta
        self.best_Y, self.best = best_Y.softmax(0), float(beta * best_Y.logsumexp(0))

    def log_probabilities(self, logits_SA: Tensor) -> Tensor:
        """Of all answers, exactly."""
        logp_SA, state = logits_SA.log_softmax(-1), torch.zeros(len(self.answers_YT), dtype=torch.long)
        total_Y = torch.zeros(len(self.answers_YT))
        for token in self.answers_YT.unbind(1):
            total_Y = total_Y + logp_SA[state, token]
            state = next_state(state, token)
        return total_Y

    def objective(self, logits_SA: Tensor) -> float:
        """J, exactly."""
        logp_Y, reference_Y = self.log_probabilities(logits_SA), self.log_probabilities(self.reference_SA)
        return float((logp_Y.exp() * (self.reward_Y - self.beta * (logp_Y - reference_Y))).sum())

    def gained(self, logits_SA: Tensor) -> float:
        """The fraction of the way from the reference's J to J*."""
        start = self.objective(self.reference_SA)
        return (self.objective(logits_SA) - start) / (self.best - start)

    def distance(self, logits_SA: Tensor) -> float:
        """Total variation to pi*."""
        return float((self.log_probabilities(logits_SA).exp() - self.best_Y).abs().sum() / 2)

    def gap(self, logits_SA: Tensor) -> float:
        """J* less J."""
        return self.best - self.objective(logits_SA)

    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> Tensor:
        """The world is the reward of its answers."""
        letters = torch.tensor([answer.answer for answer in answers])
        powers = LETTERS ** torch.arange(letters.shape[1] - 1, -1, -1)
        return self.reward_Y[(letters * powers).sum(1)]
