"""The probe measures a rate that the machine has, soon, without torch."""

import time

import numpy as np
import pytest

from groundup.machine import usable_cores
from groundup.planning.machine import EFFICIENCY, Machine, measure, probe


def test_it_takes_no_longer_than_it_may(tmp_path):
    probe(0)  # numpy's import
    began = time.perf_counter()
    machine = measure(tmp_path / "not" / "there" / "yet")
    assert time.perf_counter() - began < 0.6
    assert machine.cores == usable_cores() >= 1
    assert machine.memory is None or machine.memory > 0
    assert machine.disk and machine.disk > 0


def test_the_rate_is_that_of_a_plain_loop_of_matmuls():
    """Within a factor of three of a single timing of the same matmuls: another clock, another loop."""
    a = np.ones((64, 64), np.float32)
    best = float("inf")
    for _ in range(200):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    assert 1 / 3 < probe() / (2 * 64**3 / best) < 3


def test_precision_and_rates():
    machine = Machine(2, 1e9, bf16=True, memory=None, disk=None)
    assert machine.precision("auto") == "bf16" and machine.precision("fp32") == "fp32"
    assert Machine(2, 1e9, False, None, None).precision("auto") == "fp32"
    assert machine.rate("train", "bf16") == 2e9 * EFFICIENCY["train", "bf16"]
    with pytest.raises(KeyError):
        machine.rate("sing", "bf16")
