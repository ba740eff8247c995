"""What a decoder is given, and what is common to its layers: one object from the embedding to the last norm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.errors import GroundupError
from groundup.model.attention import Mask
from groundup.model.cache import Appended
from groundup.model.configuration import LLMConfig
from groundup.model.rotary import PADDING

NO_DOCUMENT = torch.iinfo(torch.long).min  # the document of padding


@dataclass(frozen=True)
class DecoderInputs:
    """Sequences of tokens, in one batch.

        >>> import torch
        >>> from groundup.model import CustomLanguageModel, DecoderInputs, LLMConfig
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=512, hidden_size=128, num_hidden_layers=2))
        >>> ids = torch.tensor([[3, 1, 4, 1, 5]])
        >>> model.features(DecoderInputs(ids, documents_BT=torch.tensor([[0, 0, 0, 1, 1]]))).shape
        torch.Size([1, 5, 128])

    Args:
        ids_BT: token ids, int64.
        documents_BT: the document of each token, int64. Runs of equal ids neither see each other nor count each other's
            positions; padding on either side is a document of its own. None: each row is one document.
        cache: the slots of a cache that these tokens are appended to.
        routing: receives each sparse layer's `routing_sums`, [3, E], for the load-balancing loss.
        valid_BT: bool, the tokens that count in `routing`; None: all.
    """

    ids_BT: Tensor
    documents_BT: Tensor | None = None
    cache: Appended | None = None
    routing: list[Tensor] | None = None
    valid_BT: Tensor | None = None

    def padded(self, added: int) -> "DecoderInputs":
        """The same with `added` tokens on the right, which no token sees and which don't count in `routing`."""
        if not added:
            return self
        documents_BT = self.documents_BT
        if documents_BT is not None:
            documents_BT = F.pad(documents_BT, (0, added), value=NO_DOCUMENT)
        valid_BT = torch.ones_like(self.ids_BT, dtype=torch.bool) if self.valid_BT is None else self.valid_BT
        return replace(
            self,
            ids_BT=F.pad(self.ids_BT, (0, added)),
            documents_BT=documents_BT,
            valid_BT=F.pad(valid_BT, (0, added)),
        )

    def at(self, columns_L: Tensor) -> "DecoderInputs":
        """Only these columns of each row (int64 indices)."""
        documents_BT, valid_BT = self.documents_BT, self.valid_BT
        return replace(
            self,
            ids_BT=self.ids_BT[:, columns_L],
            documents_BT=None if documents_BT is None else documents_BT[:, columns_L],
            valid_BT=None if valid_BT is None else valid_BT[:, columns_L],
        )


@dataclass(frozen=True, kw_only=True)
class LayerInputs(DecoderInputs):
    """The same tokens with what is common to all layers.

    Args:
        positions_BT: each token's position in its document, int64 [B or 1, T].
        masks: what tokens see in layers with each window; see `attention.Mask`.
    """

    positions_BT: Tensor
    masks: Mapping[int | None, Mask]


def tokens_before(inputs: LayerInputs) -> tuple[Tensor, Tensor]:
    """(the token before each, int64 [B, T]; bool [B, T], whether there is one in the same document)."""
    if inputs.cache is not None:
        return inputs.cache.tokens_before(inputs.ids_BT)
    before_BT = F.pad(inputs.ids_BT[:, :-1], (1, 0))
    return before_BT, (inputs.positions_BT > 0).expand_as(before_BT)


def check_length(T: int, config: LLMConfig) -> None:
    """Raises GroundupError where sequences of T tokens are longer than the context."""
    context = config.max_position_embeddings
    if context + PADDING < T:
        raise GroundupError(f"rows of {T} tokens, the model's context has {context}", do="cut them into windows")
