"""What a step costs besides its tokens' layers, by hand."""

import pytest

from groundup.alignment.configuration import VALIDATIONS, SftConfig
from groundup.model.configuration import LLMConfig
from groundup.planning import counts
from groundup.planning.machine import Machine
from groundup.planning.step import muon_flops, row_flops
from groundup.training.configuration import OptimizerConfig

MODEL = LLMConfig(
    vocab_size=1000,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)


def test_muon_counts_every_matrix_between_embedding_and_head() -> None:
    """Of each layer: two of 64 x 64, two of 64 x 32, three of 64 x 128; 4 m^2 n + 2 m^3 for each iteration."""
    one = 2 * 6 * 64**3 + 2 * (4 * 32**2 * 64 + 2 * 32**3) + 3 * (4 * 64**2 * 128 + 2 * 64**3)
    assert muon_flops(MODEL, OptimizerConfig(name="muon", iterations=3)) == 3 * 2 * one
    assert muon_flops(MODEL, OptimizerConfig(name="muon")) == 5 * 2 * one
    assert muon_flops(MODEL, OptimizerConfig()) == 0


def test_a_head_on_answers_alone() -> None:
    whole = row_flops(MODEL, 100, 100, 30)
    assert whole == 100 * MODEL.flops_per_token(30)
    assert whole - row_flops(MODEL, 100, 40, 30) == 60 * 6 * 1000 * 64


def test_questions_that_are_spread_over_the_subjects() -> None:
    """All of 500, and of 1,200 every fourth: as many as leave at least 256."""
    assert counts.validated(500) == 500 and counts.validated(1200) == 300


@pytest.mark.parametrize(("bf16", "slow"), [(True, False), (False, True)])
def test_a_processor_without_bf16_is_slow_in_it(bf16: bool, slow: bool) -> None:
    machine = Machine(2, 1e9, bf16, None, None)
    assert machine.slow_in("bf16") == slow and not machine.slow_in("fp32") and machine.slow_in("fp16")
    assert (machine.rate("train", "bf16") < machine.rate("train", "fp32")) == slow


def test_looks_are_those_of_the_loop() -> None:
    """Every (steps // 10) steps and at the end, counted as the loop counts them (training/loop.py)."""
    for steps in (1, 2, 9, 10, 34, 50, 98, 100, 1001):
        every = max(1, steps // VALIDATIONS)
        assert counts.looks(steps) == sum(step % every == 0 or step == steps for step in range(1, steps + 1))


def test_what_is_asked_more_often_is_less_often_wrong() -> None:
    few, some, many = (counts.wrong(SftConfig(epochs=epochs)) for epochs in (1, 11, 40))
    assert few == 1.0 > some > many == pytest.approx(0.26)
