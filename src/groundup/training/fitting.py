"""Training a language model with one call, from a notebook or a script."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.artifacts import read_metrics
from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.device import Precision
from groundup.progress import Progress, Silent
from groundup.shards.stream import SampleStream
from groundup.shards.token_file import TokenShard
from groundup.shards.windows import Windows
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.engines import engine_for
from groundup.training.loop import TrainPlan, train
from groundup.training.objective import Objective
from groundup.training.pretraining import Pretraining

Tokens = TokenShard | NDArray[Any] | torch.Tensor | Sequence[int] | Sequence[Sequence[int]]


def fit(
    model: CustomLanguageModel,
    tokens: Tokens,
    *,
    steps: int = 100,
    learning_rate: float = 1e-3,
    batch: int = 8,
    sequence: int | None = None,
    validation: Tokens | None = None,
    config: LoopConfig | None = None,
    precision: Precision = "fp32",
    folder: Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train a model, in place, to predict the next token; on the best device that there is.

        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.training import fit
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=8, hidden_size=32, num_hidden_layers=1), seed=0)
        >>> rows = fit(model, [0, 1, 2, 3, 4, 5, 6, 7] * 50, steps=40, learning_rate=1e-2, sequence=16)
        >>> rows[0]["loss"] > 2.0 > 0.5 > rows[-1]["loss"]
        True

    Args:
        tokens: ids as one sequence, as a list of documents, or a `TokenShard`; read again from the start, in another
            order, when they are used up.
        steps: optimizer steps.
        learning_rate: the peak of the schedule.
        batch: sequences per step.
        sequence: tokens per sequence; None: the model's context, at most 128.
        validation: tokens of which the loss is measured after the last step, as `heldout_loss`.
        config: schedule, optimizer, clipping, accumulation, averaging of weights, adapters, telemetry.
        folder: for metrics and checkpoints, from which a killed call resumes; None: nothing is kept.
        seed: of the order in which sequences are drawn.

    Returns:
        A row for each step: `loss` (nats per token), `learning_rate`, `gradient_norm`, `tokens_per_second`, ...

    Raises:
        GroundupError: there are fewer tokens than one sequence needs, or training diverges.
    """
    config = config or LoopConfig()
    length = sequence or min(128, model.config.max_position_embeddings)
    read = _shard(tokens, length, model.config.vocab_size)
    objective = Pretraining(
        SampleStream(read, length, seed),
        None if validation is None else Windows(_shard(validation, length, model.config.vocab_size), length),
        batch_tokens=batch * length,
        accumulate=config.accumulate,
    )
    return run(model, objective, steps, learning_rate, config, precision, folder, progress)


def run(
    model: torch.nn.Module,
    objective: Objective,
    steps: int,
    learning_rate: float,
    config: LoopConfig | None = None,
    precision: Precision = "fp32",
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train any objective as `fit` trains next-token prediction; arguments and result as there."""
    config = config or LoopConfig()
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            config = config.model_copy(update={"checkpoint_seconds": float("inf")})
        folder.mkdir(parents=True, exist_ok=True)
        metrics = folder / "metrics.jsonl"
        train(
            engine_for(model, config, precision),
            objective,
            TrainPlan(steps, learning_rate, config),
            title="fit",
            checkpoints=Checkpoints(folder, config, config.parallel),
            metrics_path=metrics,
            progress=progress or Silent(),
        )
        return read_metrics(metrics)


def _shard(tokens: Tokens, length: int, vocabulary: int) -> TokenShard:
    if not isinstance(tokens, TokenShard):
        one = len(tokens) > 0 and np.ndim(tokens[0]) == 0
        documents = [np.asarray(document) for document in ([tokens] if one else tokens)]
        tokens = TokenShard.of(documents, dtype="<u2" if vocabulary <= 2**16 else "<u4")
    if len(tokens) <= length:
        raise GroundupError(
            f"there are {len(tokens)} tokens, and a sequence of {length} needs {length + 1}",
            where="tokens",
            do="give more tokens, or a smaller `sequence`",
        )
    return tokens
