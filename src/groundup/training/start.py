"""The `start` stage: a model from outside becomes the first weights of a run.

    start: {model: models/gpt2, general: wiki.txt}

What is read is never changed: weights become float32 in the run's own form, and ids of any text stay as they are. The
chat format's tokens that the tokenizer lacks get ids of their own above its others. Their rows in the embedding and the
head begin as the mean of the other rows; they are added as late as possible (after continued pretraining), so that the
model's loss on the first batch is the loss that it came with.
"""

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.outside import Digests
from groundup.errors import GroundupError
from groundup.model.adapter_files import load_adapter
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import load_huggingface
from groundup.model.weights import load_model, named_weights, save_model
from groundup.parallel.device import best_device, resolve_precision, settle
from groundup.parallel.engine import Engine, Statistics
from groundup.tokenizer.compare import read_other
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.vocabulary import SPECIAL_TOKENS
from groundup.training.pretraining import TokenBatch
from groundup.training.start_config import StartConfig, StartFiles, locate

TOKENIZER, GENERAL = "tokenizer.json", "general.txt"
GENERAL_BYTES = 1 << 20  # of the general text that is measured


def stage(config: StartConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Read the model and its tokenizer; writes `model/`, `tokenizer.json`, and `general.txt` where one is named.

    Raises:
        GroundupError: the model, its tokenizer or the adapters can't be used; the message says why.
    """
    settle()
    files = locate(config, work.base)
    tokenizer, added = with_chat_tokens(_tokenizer(files))
    model = load_model(files.weights) if files.ours else load_huggingface(files.weights)
    if config.adapter is not None:
        load_adapter(model, work.base / config.adapter.expanduser())
    if tokenizer.vocabulary_size - added > model.config.vocab_size:
        raise GroundupError(
            f"the tokenizer has {tokenizer.vocabulary_size - added:,} tokens, the model {model.config.vocab_size:,}",
            where=str(files.tokenizer),
            do="name a folder whose tokenizer and model belong together",
        )
    if config.first != "pretrain" or tokenizer.end_of_text >= model.config.vocab_size:
        model = grown(model, tokenizer.vocabulary_size)
    save_model(work.out / "model", rebuilt(model, attention_dropout=0.0, resid_pdrop=0.0, embd_pdrop=0.0))
    tokenizer.save(work.out / TOKENIZER)
    if config.general is not None:
        shutil.copyfile(work.base / config.general.expanduser(), work.out / GENERAL)
    parameters = model.config.num_parameters
    return {
        "summary": f"{parameters / 1e6:,.1f}M parameters of {config.model.name}, {added} tokens added to its own",
        "parameters": parameters,
        "vocabulary": tokenizer.vocabulary_size,
        "added_tokens": added,
        "precision": resolve_precision(config.precision, best_device()),
    }


def sources(config: StartConfig, base: Path, cache: Path) -> dict[str, str]:
    """The digests of all files that the stage reads.

    Raises:
        GroundupError: a file is missing.
    """
    files, digests = locate(config, base), Digests(cache)
    tokenizer = [files.tokenizer] if files.tokenizer.is_file() else [*files.tokenizer.glob("*.txt")]
    read = [*files.weights.glob("*.json"), *files.weights.glob("*.safetensors"), *tokenizer]
    if config.adapter is not None:
        read += [*(base / config.adapter.expanduser()).glob("adapter_*")]
    if config.general is not None:
        read.append(base / config.general.expanduser())
    found = {path.name: digests.of_file(path) for path in sorted(set(read))}
    digests.save()
    return found


def _tokenizer(files: StartFiles) -> Tokenizer:
    return Tokenizer.load(files.tokenizer) if files.tokenizer.is_file() else read_other(files.tokenizer)


def with_chat_tokens(tokenizer: Tokenizer) -> tuple[Tokenizer, int]:
    """(the same tokenizer with every token of the chat format, how many it lacked); ids of texts stay as they are."""
    missing = [text for text in SPECIAL_TOKENS if text not in tokenizer.special_ids]
    if not missing:
        return tokenizer, 0
    old = tokenizer.vocabulary
    special = dict(old.special) | {text: old.size + index for index, text in enumerate(missing)}
    return Tokenizer(replace(old, special=special)), len(missing)


def grown(model: CustomLanguageModel, rows: int) -> CustomLanguageModel:
    """The model with at least so many tokens; rows that are added are the mean of the others."""
    return rebuilt(model, vocab_size=max(rows, model.config.vocab_size))


@torch.no_grad()
def rebuilt(model: CustomLanguageModel, **changes: float) -> CustomLanguageModel:
    """The model with other dropout or more tokens, its adapters merged; itself where nothing changes."""
    config = model.config.model_copy(update=changes)
    if config == model.config:
        return model
    weights, other = named_weights(model), CustomLanguageModel(config, seed=None)
    for name, parameter in other.named_parameters():
        old = weights[name]
        parameter[: len(old)].copy_(old)
        if len(old) < len(parameter):
            parameter[len(old) :].copy_(old.mean(0))
    return other


def general_bits(engine: Engine, text: Path, tokenizer: Tokenizer, length: int, rows: int = 8) -> float:
    """Bits per byte of a text's beginning, in windows of `length` tokens that share no token.

    Collective: every process calls it.
    """
    raw = text.read_bytes()[:GENERAL_BYTES]
    ids = torch.tensor([tokenizer.end_of_text, *tokenizer.encode(raw.decode(errors="ignore"))])
    batches = list(_windows(ids, length, rows))
    nats, _ = engine.evaluate(batches, _loss)
    return nats / math.log(2) / len(raw)


def _windows(ids: Tensor, length: int, rows: int) -> Iterator[TokenBatch]:
    """Every token but the first is a target once; the last row is padded."""
    missing = -(len(ids) - 1) % length
    inputs = torch.cat((ids[:-1], ids.new_zeros(missing))).view(-1, length)
    targets = torch.cat((ids[1:], ids.new_full((missing,), -100))).view(-1, length)
    for start in range(0, len(inputs), rows):
        yield TokenBatch(inputs[start : start + rows], targets[start : start + rows])


def _loss(model: torch.nn.Module, batch: TokenBatch) -> tuple[Tensor, Statistics]:
    assert isinstance(model, CustomLanguageModel)
    device = model.lm_head.weight.device
    return model.loss_sum(batch.inputs_BT.to(device), batch.targets_BT.to(device), auxiliary=False), {}
