"""Next-token prediction over token shards, as an objective for the training loop."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import SingleDevice, Statistics
from groundup.shards.windows import Windows

HELDOUT_SAMPLES = 64  # looked at on the way; the evaluation stage measures on all held-out documents


@dataclass(frozen=True)
class TokenBatch:
    inputs_BT: Tensor
    targets_BT: Tensor


class Pretraining:
    """Draws sequences in a fresh order per epoch; the loop's place is one integer."""

    unit = "tokens"

    def __init__(
        self, train: Windows, heldout: Windows | None, *, batch_tokens: int, accumulate: int, seed: int
    ) -> None:
        self.train, self.heldout, self.seed, self.accumulate = train, heldout, seed, accumulate
        self.rows = max(1, round(batch_tokens / train.length / accumulate))  # of a micro-batch

    @property
    def tokens_per_step(self) -> int:
        return self.rows * self.accumulate * self.train.length

    def batches(self, step: int) -> list[TokenBatch]:
        first = step * self.rows * self.accumulate
        return [
            _shifted(torch.from_numpy(self.train.batch(first + part * self.rows, self.rows, self.seed)))
            for part in range(self.accumulate)
        ]

    def weight(self, batch: TokenBatch) -> float:
        return batch.targets_BT.numel()

    def loss(self, model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
        assert isinstance(model, CustomLanguageModel)
        device = model.lm_head.weight.device
        logits_BTV, _ = model(batch.inputs_BT.to(device))
        targets = batch.targets_BT.to(device).flatten()
        return F.cross_entropy(logits_BTV.flatten(0, 1), targets, reduction="sum"), {}

    @torch.no_grad()
    def validate(self, engine: SingleDevice) -> dict[str, float]:
        """Mean nats per token over the first held-out sequences."""
        if self.heldout is None:
            return {}
        samples = range(min(HELDOUT_SAMPLES, len(self.heldout)))
        total, tokens = 0.0, 0.0
        for start in range(0, len(samples), self.rows):
            rows = [torch.from_numpy(self.heldout.sample(i)) for i in samples[start : start + self.rows]]
            batch = _shifted(torch.stack(rows))
            with engine.autocast():
                total += self.loss(engine.model, batch)[0].item()
            tokens += self.weight(batch)
        return {"heldout_loss": total / tokens}


def _shifted(tokens_BT1: Tensor) -> TokenBatch:
    return TokenBatch(tokens_BT1[:, :-1], tokens_BT1[:, 1:])
