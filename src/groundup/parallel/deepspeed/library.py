"""DeepSpeed itself, imported quietly and with nothing to compile."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Any

import torch

from groundup.errors import GroundupError


def load(device: torch.device) -> Any:
    """The module `deepspeed`, working on `device`; what it prints goes to the error output, as its log does.

    Raises:
        GroundupError: it is not installed, or this process uses it on another device already.
    """
    with quiet(), _environment("DS_ACCELERATOR", device.type):
        try:
            import deepspeed

            communication = import_module("deepspeed.comm.torch")  # `deepspeed.comm.torch` itself is PyTorch
        except ModuleNotFoundError as error:
            raise GroundupError(
                f"the DeepSpeed engine needs the package {error.name}",
                where="parallel.engine",
                do="pip install 'groundup[deepspeed]'",
            ) from error
        for handler in deepspeed.utils.logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.setStream(sys.stderr)
        # On CPUs it compiles an operator at its start, which takes a compiler and a minute: shared memory between the
        # processes of one machine, used by its inference alone.
        communication.build_shm_op = lambda: None  # type: ignore[attr-defined]
    found = deepspeed.get_accelerator().device_name()
    if found != device.type:
        raise GroundupError(
            f"DeepSpeed works on {found} in this process, and is asked for {device.type}",
            where="parallel.engine",
            do=f"set DS_ACCELERATOR={device.type} before DeepSpeed is imported",
        )
    return deepspeed


@contextmanager
def quiet() -> Iterator[None]:
    """Within it what is printed goes to the error output: a run's own output is not DeepSpeed's to write on."""
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
