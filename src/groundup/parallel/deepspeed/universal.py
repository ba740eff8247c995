"""DeepSpeed's universal checkpoints (arXiv 2406.18820): whole tensors in a folder for each parameter.

    latest_universal                    names the folder below
    universal/zero/NAME/fp32.pt         a weight in float32; next to it AdamW's exp_avg.pt and exp_avg_sq.pt
    universal/zero/optimizer_state.pt   the parameter groups, and the number of steps
    universal/*model_states.pt          what else DeepSpeed keeps

Any DeepSpeed training of the same model can resume from one, under any stage and number of processes, and so can every
engine here: `read` gives the names that engines use.
"""

import argparse
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.parallel.deepspeed.library import quiet
from groundup.parallel.deepspeed.masters import ADAM_STATE

UNIVERSAL, LATEST, STEP = "universal", "latest_universal", "step"


def export(deepspeed: Any, folder: Path, leader: bool) -> None:
    """Write one of an initialised DeepSpeed engine; every process of the job takes part.

    Raises:
        GroundupError: there is something in the folder.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise GroundupError("there is something in this folder", where=str(folder), do="name a new one")
    dist.barrier()  # all have looked
    native = folder / "native"
    with quiet():
        deepspeed.save_checkpoint(str(native), tag=STEP, save_latest=False)
        dist.barrier()
        if leader:
            from deepspeed.checkpoint import ds_to_universal

            ds_to_universal.main(
                argparse.Namespace(
                    input_folder=str(native / STEP),
                    output_folder=str(folder / UNIVERSAL),
                    num_extract_workers=1,  # more are processes, which a multithreaded one must not fork
                    num_merge_workers=1,
                    keep_temp_folder=False,
                    strict=True,
                    inject_missing_state=True,
                )
            )
            shutil.rmtree(native)
    dist.barrier()


def read(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """The state of `model` in a universal checkpoint, as every engine's `restore` takes it.

    Args:
        model: names and shapes are taken from it, so its weights may be on the meta device.

    Raises:
        GroundupError: there is none, it is of another model, or a part of it is missing or damaged.
    """
    try:
        inside = folder / (folder / LATEST).read_text(encoding="utf-8").strip() / "zero"
        state: dict[str, Tensor] = {}
        for name, parameter in model.named_parameters():
            state[f"model.{name}"] = _tensor(inside / name / "fp32.pt", parameter.shape)
            if (inside / name / f"{ADAM_STATE[0]}.pt").exists():  # it is trained, and a step was taken
                for moment in ADAM_STATE:
                    state[f"optimizer.{moment}.{name}"] = _tensor(inside / name / f"{moment}.pt", parameter.shape)
                state[f"optimizer.step.{name}"] = _steps(inside, name)
    except (OSError, EOFError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]
        raise GroundupError(
            f"this is no whole universal checkpoint of the model ({what})",
            where=str(folder),
            do="name the folder that holds latest_universal, and the model that it is of",
        ) from error
    return state


def _tensor(path: Path, shape: torch.Size) -> Tensor:
    """Stages 1 and 2 write a dictionary around the tensor, stage 3 the tensor without its shape."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    tensor: Tensor = found["param"] if isinstance(found, dict) else found
    return tensor.detach().float().view(shape)


def _steps(inside: Path, name: str) -> Tensor:
    """Stages 1 and 2 write the number with each parameter, stage 3 once for a group."""
    if (inside / name / "step.pt").exists():
        return _tensor(inside / name / "step.pt", torch.Size())
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum

    with torch.serialization.safe_globals([LossScaler, ZeroStageEnum]):
        found = torch.load(inside / "optimizer_state.pt", map_location="cpu", weights_only=True)
    for group in found["optimizer_state_dict"]["state"].values():
        return torch.as_tensor(group["step"]).float()
    raise KeyError("step")
