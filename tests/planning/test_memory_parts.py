"""Formulas for memory against what PyTorch holds."""

from typing import Literal

import pytest
import torch

from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.parallel.recompute import activations_kept
from groundup.planning.memory import (
    MATMUL_CODE_BYTES,
    MATMUL_CODES,
    BatchShapes,
    activation_bytes,
    batch_shapes,
    compiled_matmul_bytes,
    layer_matmuls,
    state_bytes,
)
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

MODEL = LLMConfig(vocab_size=4096, hidden_size=256, num_hidden_layers=4, num_key_value_heads=2)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_activations_are_those_that_autograd_keeps(precision: str) -> None:
    """Those of four rows more: what doesn't grow with tokens (bf16 copies of weights) is another part."""
    model, sizes = CustomLanguageModel(MODEL, seed=0), []
    for rows in (4, 8):
        with activations_kept(model) as kept, torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            model.features(DecoderInputs(torch.zeros(rows, 128, dtype=torch.long)))
        sizes.append(sum(kept.values()))
    assert activation_bytes(MODEL, 4 * 128, precision) == pytest.approx(sizes[1] - sizes[0], rel=0.1)


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit"])
def test_state_is_that_of_the_optimizer(name: Literal["adamw", "adamw_8bit"]) -> None:
    model = CustomLanguageModel(MODEL, seed=0)
    optimizer = make_optimizer(OptimizerConfig(name=name))(model)
    model.features(DecoderInputs(torch.zeros(1, 8, dtype=torch.long))).sum().backward()
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values() if value.dim()]
    found = state_bytes(MODEL.num_parameters, "fp32", name)
    assert found["weights"] == sum(parameter.nbytes for parameter in model.parameters())
    kept = sum(tensor.nbytes for tensor in tensors)  # in 8 bits the gains still have all
    assert found["optimizer state"] == pytest.approx(kept, rel=0 if name == "adamw" else 0.01)
    assert found["checkpoint"] == 3 * found["weights"]  # a copy in float32, while a thread writes it
    assert found.keys() == {"weights", "gradients", "optimizer state", "checkpoint"}


def test_shapes_are_no_more_than_the_batches_and_code_no_more_than_the_cache() -> None:
    assert batch_shapes(32, 34, 71, 14, 1000) == BatchShapes(widths=5, heads=3)  # 40 to 72 tokens
    assert batch_shapes(32, 34, 71, 14, 2) == BatchShapes(widths=2, heads=2)
    four = layer_matmuls(MODEL)  # queries and output, keys and values, gate and up, down
    assert four == 4 and layer_matmuls(MODEL.model_copy(update={"num_key_value_heads": 4})) == 3
    assert compiled_matmul_bytes(MODEL, BatchShapes(7, 15)) == (16 * 7 + 3 * 15) * MATMUL_CODE_BYTES
    assert compiled_matmul_bytes(MODEL, forward=BatchShapes(2, 1)) == (6 * 2 + 1) * MATMUL_CODE_BYTES
    assert compiled_matmul_bytes(MODEL, together=20, passes=2) == (3 * 8 + 2 * 8) * MATMUL_CODE_BYTES
    assert compiled_matmul_bytes(MODEL, BatchShapes(10**4, 10**4)) == MATMUL_CODES * MATMUL_CODE_BYTES
