"""Batches of prompts with their answers, and the log-probabilities that models give them.

A row is prompt, answer, padding. Nothing attends to padding: attention is causal and padding is on the right.
Suffixes: B rows, T tokens, R answer tokens, N answer tokens of all rows in row order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.model.cross_entropy import IGNORED
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.training.telemetry import run_lengths

# Widths and rows are rounded up to these, so that few shapes occur. On a CPU code is generated, and kept, for every new
# shape of a bf16 matmul: time in each step, and gigabytes over a run.
SAME_WIDTH, SAME_ROWS = 8, 64


@dataclass(frozen=True)
class Answer:
    """One prompt and one answer, as token ids; the answer's last one is its stop token where it ended.

    In a conversation of several turns `answer` goes from the first trained token to the last, and `mask` separates the
    assistant's tokens from the questions between them.
    """

    prompt: list[int]
    answer: list[int]
    mask: tuple[bool, ...] | None = None
    """Which tokens of `answer` are trained; None: all."""

    @property
    def trained(self) -> list[bool]:
        """For each token of `answer`, whether it is trained."""
        return [True] * len(self.answer) if self.mask is None else list(self.mask)

    def cut(self, context: int) -> "Answer":
        """Its first `context` tokens, as far as the last trained one among them."""
        end = context - len(self.prompt)
        mask = self.trained[:end]
        while mask and not mask[-1]:
            mask.pop()
        return Answer(self.prompt, self.answer[: len(mask)], None if all(mask) else tuple(mask))

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class AnswerBatch:
    ids_BT: Tensor  # int64
    answer_BT: Tensor  # bool: this token is part of the answer
    mask_BR: Tensor  # bool: row b's answer has an r-th token
    documents_BT: Tensor | None = None  # int64: which example a token is of, where rows hold several (see `packing`)

    def __len__(self) -> int:
        return len(self.ids_BT)

    @property
    def tokens(self) -> int:
        """Answer tokens in all."""
        return int(self.mask_BR.sum())

    @property
    def lengths(self) -> list[int]:
        """Inputs of each example, without padding: all of its tokens but the last."""
        if self.documents_BT is not None:
            return [length - 1 for length in run_lengths(self.documents_BT, padding=-1)]
        positions_T = torch.arange(self.ids_BT.shape[1], device=self.ids_BT.device)
        return [int(last) for last in (self.answer_BT * positions_T).amax(1).tolist()]

    def decoder_inputs(self) -> tuple[Tensor, Tensor | None]:
        """(token ids [B, T], documents [B, T]): what the features before each answer token are computed from."""
        return self.ids_BT[:, :-1], None if self.documents_BT is None else self.documents_BT[:, :-1]

    def to(self, device: torch.device) -> "AnswerBatch":
        """The same on a device."""
        documents_BT = None if self.documents_BT is None else self.documents_BT.to(device)
        return AnswerBatch(self.ids_BT.to(device), self.answer_BT.to(device), self.mask_BR.to(device), documents_BT)

    def rows(self, x_N: Tensor) -> Tensor:
        """Values of all answer tokens laid out by row, [B, R], 0 after each answer's end."""
        x_BR = torch.zeros(self.mask_BR.shape, dtype=x_N.dtype, device=x_N.device)
        return x_BR.masked_scatter(self.mask_BR, x_N)


def collate(answers: Sequence[Answer], pad: int, device: torch.device | str = "cpu") -> AnswerBatch:
    """Pad on the right.

    Raises:
        GroundupError: an answer without a token (nothing could be learnt from it), or a row without a prompt.
    """
    checked(answers)
    width = max(map(len, answers))
    width += -width % SAME_WIDTH
    real_BT = torch.arange(width) < torch.tensor(list(map(len, answers)))[:, None]
    ids = [token for answer in answers for token in (*answer.prompt, *answer.answer)]
    trained = [flag for answer in answers for flag in (*[False] * len(answer.prompt), *answer.trained)]
    ids_BT = torch.full(real_BT.shape, pad).masked_scatter(real_BT, torch.tensor(ids))
    answer_BT = torch.zeros_like(real_BT).masked_scatter(real_BT, torch.tensor(trained))
    counts_B = answer_BT.sum(1)
    mask_BR = torch.arange(int(counts_B.max())) < counts_B[:, None]
    return AnswerBatch(ids_BT, answer_BT, mask_BR).to(torch.device(device))


def checked(answers: Sequence[Answer]) -> None:
    """Raises GroundupError naming the first example that has no prompt, or no answer to learn from."""
    for row, answer in enumerate(answers):
        if not answer.answer or not answer.prompt:
            part = "answer" if answer.prompt else "prompt"
            raise GroundupError(f"the {part} has no token", where=f"example {row}", do="remove it from the data")


def before_answers(batch: AnswerBatch, x_BTD: Tensor) -> Tensor:
    """The features from which each answer token is predicted, [N, D], of features [B, T - 1, D] of `ids[:, :-1]`."""
    return x_BTD[batch.answer_BT[:, 1:]]


def head_rows(model: CustomLanguageModel, x_ND: Tensor) -> Tensor:
    """The head's logits [N, V] of N rows, computed on the next multiple of `SAME_ROWS` rows.

    How many answer tokens a batch has differs from step to step, and every number would be a shape of its own.
    """
    return model.head(_same_rows(x_ND))[: len(x_ND)]


def _same_rows(x: Tensor, value: int = 0) -> Tensor:
    """With as many rows as the next multiple of `SAME_ROWS` on a CPU."""
    more = -len(x) % SAME_ROWS if x.device.type == "cpu" else 0
    return F.pad(x, [0, 0] * (x.dim() - 1) + [0, more], value=value)


def answer_log_probabilities(model: nn.Module, batch: AnswerBatch, temperature: float = 1.0) -> Tensor:
    """Log-probability of each answer token, float32 [N]; the head runs on answers alone, and less is held than
    for `log_probabilities`.

    `model` is a `CustomLanguageModel`, as engines and objectives hold it.
    """
    assert isinstance(model, CustomLanguageModel)
    return chosen_log_probabilities(model, answer_features(model, batch), batch, temperature)


def answer_features(model: CustomLanguageModel, batch: AnswerBatch) -> Tensor:
    """The features from which each answer token is predicted, [N, D]."""
    return before_answers(batch, model.features(DecoderInputs(*batch.decoder_inputs())))


def chosen_log_probabilities(
    model: CustomLanguageModel, x_ND: Tensor, batch: AnswerBatch, temperature: float = 1.0
) -> Tensor:
    """`answer_log_probabilities` of a batch's `answer_features`."""
    logits_NV = _divided(head_rows(model, x_ND), temperature)
    return -F.cross_entropy(logits_NV, batch.ids_BT[batch.answer_BT], reduction="none")


def answer_nats(model: nn.Module, batch: AnswerBatch) -> Tensor:
    """The negative log-probability of all answer tokens together, a scalar, without ever holding all logits."""
    assert isinstance(model, CustomLanguageModel)
    x_ND = answer_features(model, batch)
    return model.nats(_same_rows(x_ND), _same_rows(batch.ids_BT[batch.answer_BT], IGNORED))


def log_probabilities(model: nn.Module, batch: AnswerBatch, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """(log-probability of each answer token, entropy before it), float32 [N]."""
    assert isinstance(model, CustomLanguageModel)
    return chances_and_entropies(model, answer_features(model, batch), batch, temperature)


def chances_and_entropies(
    model: CustomLanguageModel, x_ND: Tensor, batch: AnswerBatch, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """`log_probabilities` of a batch's `answer_features`."""
    all_NV = torch.log_softmax(_divided(head_rows(model, x_ND), temperature), -1)
    chosen_N = all_NV.gather(1, batch.ids_BT[batch.answer_BT][:, None])[:, 0]
    entropy_N = -(all_NV.detach().exp() * all_NV.detach()).sum(-1)
    return chosen_N, entropy_N


def token_distributions(model: nn.Module, batch: AnswerBatch, temperature: float = 1.0) -> Tensor:
    """Log-probabilities of every token before each answer token, float32 [N, V]."""
    assert isinstance(model, CustomLanguageModel)
    return torch.log_softmax(_divided(head_rows(model, answer_features(model, batch)), temperature), -1)


def _divided(logits_NV: Tensor, temperature: float) -> Tensor:
    return logits_NV if temperature == 1 else logits_NV / temperature


def summed_log_probabilities(model: nn.Module, batch: AnswerBatch) -> Tensor:
    """Log-probability of each whole answer, [B]."""
    return batch.rows(answer_log_probabilities(model, batch)).sum(1)
