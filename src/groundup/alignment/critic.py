"""Critics: the value of each state of an answer, from a decoder of their own or from the policy's."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.alignment.answers import (
    AnswerBatch,
    answer_features,
    before_answers,
    chances_and_entropies,
    chosen_log_probabilities,
)
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel, Decoder
from groundup.model.inputs import DecoderInputs


class ScalarModel(nn.Module):
    """A decoder whose features become one number: a critic's value of each state of an answer. It starts at 0."""

    def __init__(self, model: CustomLanguageModel) -> None:
        """Takes over the decoder's weights (shared, not copied)."""
        super().__init__()
        self.config: LLMConfig = model.config
        self.model: Decoder = model.model
        self.score = _zero_head(model.config)

    def values(self, batch: AnswerBatch) -> Tensor:
        """Float32 [N]: the value of the state before each answer token, in row order."""
        return linear_float32(before_answers(batch, self.model(DecoderInputs(*batch.decoder_inputs()))), self.score)


class ValuedPolicy(nn.Module):
    """A language model with a critic that is one more head on its features. The value starts at 0.

    One pass through the decoder gives log-probabilities and values, and the losses of both move it.
    """

    def __init__(self, model: CustomLanguageModel, speed: float = 1.0) -> None:
        """`speed`: the value head's learning rate over the decoder's."""
        super().__init__()
        self.config: LLMConfig = model.config
        self.language = model
        self.score = _zero_head(model.config)
        self.speed = speed

    def learning_rate_multipliers(self) -> dict[str, float]:
        """What each parameter's learning rate is multiplied by."""
        own = {f"language.{name}": scale for name, scale in self.language.learning_rate_multipliers().items()}
        return own | {"score.weight": self.speed}

    def values_of(self, x_ND: Tensor) -> Tensor:
        """Float32 [N] of features before answer tokens."""
        return linear_float32(x_ND, self.score)

    def answers(self, batch: AnswerBatch, temperature: float) -> tuple[Tensor, Tensor]:
        """(log-probability of each answer token, value of the state before it), float32 [N]."""
        x_ND = answer_features(self.language, batch)
        return chosen_log_probabilities(self.language, x_ND, batch, temperature), self.values_of(x_ND)

    def known(self, batch: AnswerBatch, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
        """(log-probability of each answer token, entropy before it, value of the state before it), float32 [N]."""
        x_ND = answer_features(self.language, batch)
        return *chances_and_entropies(self.language, x_ND, batch, temperature), self.values_of(x_ND)


def language_of(model: nn.Module) -> CustomLanguageModel:
    """The language model that is trained as a policy, with or without a value head."""
    language = model.language if isinstance(model, ValuedPolicy) else model
    assert isinstance(language, CustomLanguageModel)
    return language


def linear_float32(x_ND: Tensor, layer: nn.Linear) -> Tensor:
    """[N]: the last matmul is in float32, whatever the autocast: scores a hair apart decide a pair."""
    with torch.autocast(x_ND.device.type, enabled=False):
        return F.linear(x_ND.float(), layer.weight.float())[:, 0]


def _zero_head(config: LLMConfig) -> nn.Linear:
    head = nn.Linear(config.hidden_size, 1, bias=False)
    nn.init.zeros_(head.weight)
    return head
