"""Activation checkpointing changes no bit of a step, and keeps less."""

import pytest
import torch

import tiny
from groundup.parallel.recompute import ActivationCheckpointing, activations_kept, checkpoint_blocks


def gradients_and_kept(mode: ActivationCheckpointing, **shape: object) -> tuple[list[torch.Tensor], int]:
    """Every gradient, and the bytes that the forward pass left for the backward pass, weights not counted."""
    model = tiny.model(num_hidden_layers=4, **shape)
    checkpoint_blocks(model.model.layers, mode)
    with activations_kept(model) as kept:
        _, loss = model(tiny.ids(3, 40), tiny.ids(3, 40, seed=1))
    assert loss is not None
    held = sum(kept.values())
    loss.backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None], held


@pytest.mark.parametrize("shape", [{}, {"num_experts": 4}], ids=["dense", "experts"])
def test_the_same_bits_from_less(shape: dict[str, object]) -> None:
    plain, all_of_it = gradients_and_kept("none", **shape)
    for mode in ("full", "selective"):
        again, held = gradients_and_kept(mode, **shape)
        assert len(again) == len(plain) > 20
        assert all(torch.equal(a, b) for a, b in zip(again, plain, strict=True)), mode
        assert held < all_of_it, mode


def test_parameters_keep_their_names() -> None:
    model = tiny.model()
    names = [name for name, _ in model.named_parameters()]
    checkpoint_blocks(model.model.layers, "full")
    assert [name for name, _ in model.named_parameters()] == names
