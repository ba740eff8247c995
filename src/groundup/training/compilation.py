"""Whether a training stage's layers are compiled: as the blueprint says, or as a trial at the start finds."""

from pathlib import Path

import torch
from torch import nn

from groundup.artifacts.durable import write_text
from groundup.artifacts.json_files import read_json
from groundup.model.decoder import Block, Decoder
from groundup.model.shortcuts import FirstInput
from groundup.parallel import float8
from groundup.parallel.compilation import compile_blocks, gain
from groundup.parallel.engine import Engine
from groundup.parallel.recompute import checkpoint_blocks
from groundup.progress import Progress
from groundup.training.configuration import PretrainConfig
from groundup.training.engines import recomputed
from groundup.training.pretraining import Pretraining

WORTH = 1.02  # times as fast, from which on compiled layers are taken
FOUND = "compilation.json"  # what the trial found: a resumed stage must decide the same


def compile_training(
    engine: Engine, objective: Pretraining, config: PretrainConfig, keep: Path, progress: Progress
) -> bool:
    """Compile the engine's layers, or not; collective. Whether it was done.

    Args:
        keep: where the result of a trial outlives a kill.

    Raises:
        GroundupError: PyTorch is too old, or finds no C++ compiler.
    """
    if not config.compile:
        return False
    if config.compile == "measure":
        faster = engine.leader and _found(engine, objective, config, keep, progress) >= WORTH
        if not engine.any(faster):
            return False
    mode = config.activation_checkpointing
    blocks = [module for module in engine.model.modules() if isinstance(module, Block)]
    compile_blocks(blocks, mode if isinstance(mode, float) else 1.0)
    return True


def _found(engine: Engine, objective: Pretraining, config: PretrainConfig, keep: Path, progress: Progress) -> float:
    """How many times as fast a compiled layer is on a micro-batch's shape."""
    path = keep / FOUND
    if path.exists():
        return float(read_json(path)["times_as_fast"])
    progress.say("    pretrain: compiling a layer to see what it brings")
    decoder = next(module for module in engine.model.modules() if isinstance(module, Decoder))
    T = objective.train.length
    rotary = None if decoder.rotary is None else decoder.rotary(torch.arange(T, device=engine.device)[None])
    with torch.random.fork_rng(), engine.autocast():  # training draws what it would have drawn without a trial
        block = Block(decoder.config, 0).to(engine.device)  # the model's own may be spread over processes
        if config.fp8:
            float8.convert(block, engine.device, "bf16")
        checkpoint_blocks(nn.ModuleList([block]), recomputed(config))
        x_BTD = torch.randn(objective.rows, T, decoder.config.hidden_size, device=engine.device)
        more = []
        if decoder.config.shortcuts:
            more = [None, None, FirstInput(x_BTD, torch.zeros(x_BTD.shape[:2], dtype=torch.long, device=engine.device))]
        times = gain(block, [x_BTD, rotary, *more])
    progress.say(f"    pretrain: compiled layers are {times:.2f} times as fast")
    write_text(path, f'{{"times_as_fast": {times}}}\n')
    return times
