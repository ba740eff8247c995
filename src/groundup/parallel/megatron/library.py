"""Whether Megatron-core is there, and where there is no CUDA, made to do without."""

import warnings
from importlib.util import find_spec

import torch

from groundup.errors import GroundupError


def load() -> None:
    """To be called before anything else of this package is imported.

    Raises:
        GroundupError: Megatron-core is not installed.
    """
    if find_spec("megatron") is None or find_spec("megatron.core") is None:
        raise GroundupError(
            "Megatron-core is not installed", where="parallel.engine", do="pip install 'groundup[megatron]'"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Apex and Transformer Engine, which it would like to have
        if not torch.cuda.is_available():
            from groundup.parallel.megatron import shim

            shim.install()
        import megatron.core.models.gpt
        import megatron.core.optimizer  # noqa: F401
