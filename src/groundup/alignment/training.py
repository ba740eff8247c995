"""What the alignment stages have in common: an engine in the precision of the earlier stages, the loop, the files."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from groundup.alignment.answers import Answer
from groundup.alignment.configuration import VALIDATIONS
from groundup.alignment.critic import language_of
from groundup.alignment.data.examples import answer_ids, fitted, prompt_ids
from groundup.alignment.data.pairs import Pair
from groundup.alignment.pair_objective import EncodedPair
from groundup.artifacts import Artifact, Work
from groundup.model.adapter_files import save_adapter
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.lora import add_adapters
from groundup.model.weights import load_model, save_model
from groundup.parallel.device import settle
from groundup.parallel.engine import Engine
from groundup.tokenizer.of_run import tokenizer_file
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.checkpoint import Checkpoints
from groundup.training.configuration import LoopConfig
from groundup.training.engines import engine_for
from groundup.training.loop import TrainPlan, keep_lasting, train
from groundup.training.objective import Objective
from groundup.training.telemetry import flops_of, publish

ITEMS, PAIRS = "items.jsonl", "pairs.jsonl"


class StageTraining:
    """The training of one alignment stage, from the model of an earlier one."""

    def __init__(self, title: str, config: LoopConfig, inputs: Mapping[str, Artifact], start: str, work: Work) -> None:
        """
        Args:
            title: the stage's name.
            start: which of `inputs` the model comes from; its precision is kept.
        """
        assert config.learning_rate, "filled in from `size`"
        self.title, self.config, self.work = title, config, work
        self.learning_rate = config.learning_rate
        self.tokenizer = Tokenizer.load(tokenizer_file(inputs))
        self.start = inputs[start] if start in inputs else inputs["start"]  # a model from outside, not pretrained here
        self.checkpoints = Checkpoints(work.keep, config, config.parallel)

    def model(self) -> CustomLanguageModel:
        """The model that training starts from, read again at every call."""
        return load_model(self.start.path / "model")

    def engine(self, model: nn.Module) -> Engine:
        """`model` under the engine of the blueprint, in the precision of the earlier stage; with adapters where the
        stage has `lora`."""
        settle()
        lora = self.config.lora
        if lora:
            add_adapters(model, lora, self.work.seed)
        engine = engine_for(model, self.config, self.start.figures["precision"])
        if lora and lora.dropout:
            engine.dropout = True
            torch.manual_seed(self.work.seed + engine.data_rank.rank)
        return engine

    def train(
        self, engine: Engine, objective: Objective, steps: int, shape: LLMConfig | None = None, passes: float = 1.0
    ) -> dict[str, float]:
        """Run the loop, and keep what it writes as records; returns the last validation figures.

        Args:
            shape: of the model, for the FLOPs of a batch; None: MFU is not measured.
            passes: a batch's cost as a multiple of forward and backward through the model.
        """
        cost = 2 / 3 if self.config.lora else 1.0  # no gradients of the model's own weights

        def flops(batch: Any) -> float:
            assert shape is not None
            return passes * cost * flops_of(shape, batch.lengths)

        figures = train(
            engine,
            objective,
            TrainPlan(steps, self.learning_rate, self.config, validate_every=max(1, steps // VALIDATIONS)),
            title=self.title,
            checkpoints=self.checkpoints,
            metrics_path=self.work.keep / "metrics.jsonl",
            progress=self.work.progress,
            flops=flops if shape else None,
        )
        if engine.leader:
            publish(self.work.keep, self.work.records)
            keep_lasting(self.checkpoints, self.work.records)
        return figures

    def save(self, engine: Engine) -> None:
        """Write the trained language model to `model/`, and adapters, which are merged there, to `adapter/` too."""
        with engine.whole() as whole:
            language = language_of(whole)
            if engine.leader:
                save_model(self.work.out / "model", language)
                if self.config.lora:
                    save_adapter(self.work.out / "adapter", language)


def encode_pair(pair: Pair, tokenizer: Tokenizer, context: int) -> EncodedPair:
    """Both answers, cut to the model's context; raises GroundupError where the question alone fills it."""
    prompt, where = prompt_ids(pair.prompt, tokenizer), f"the pair {pair.question[:60]!r}"

    def encoded(answer: str) -> Answer:
        return fitted(prompt, answer_ids(answer, tokenizer), context, where)

    return encoded(pair.chosen), encoded(pair.rejected)


def cut_pairs(pairs: Sequence[EncodedPair], tokenizer: Tokenizer) -> int:
    """How many pairs have an answer that was cut: the stop token is missing at its end."""
    return sum(any(answer.answer[-1] != tokenizer.end for answer in pair) for pair in pairs)
