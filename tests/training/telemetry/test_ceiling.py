"""The ceiling is a rate that this machine reaches, measured once."""

import time

import pytest
import torch

from groundup.training.telemetry import ceiling

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_plain_loop_of_matmuls_is_much_faster(dtype: torch.dtype) -> None:
    a = torch.randn(768, 768).to(dtype)
    best = float("inf")
    for _ in range(20):
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    assert ceiling.measure(CPU, dtype) > 0.5 * 2 * 768**3 / best  # half: other work may share the cores


def test_it_takes_no_longer_than_it_may_and_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.process_time()
    ceiling.measure(CPU, torch.float32, seconds=0.1)
    assert time.process_time() - began < 2 * torch.get_num_threads()
    asked = []
    monkeypatch.setattr(ceiling, "measure", lambda device, dtype: asked.append(dtype) or 1e9)
    ceiling._measured.cache_clear()
    assert [ceiling.matmul_ceiling(CPU, dtype) for dtype in (torch.float32, torch.float32, torch.bfloat16)] == [1e9] * 3
    assert asked == [torch.float32, torch.bfloat16]
    ceiling._measured.cache_clear()


def test_a_slow_machine_multiplies_no_larger_matrices_than_it_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock by which a matmul of side 512 takes a tenth of a second, nothing larger is begun."""
    clock, sides = [0.0], []

    def matmul(a: torch.Tensor, b: torch.Tensor) -> None:
        sides.append(len(a))
        clock[0] += 0.1 * (len(a) / 512) ** 3

    monkeypatch.setattr(ceiling.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(ceiling, "matmul", matmul)
    assert ceiling.measure(CPU, torch.float32) == pytest.approx(2 * 512**3 / 0.1)
    assert set(sides) == {512} and len(sides) <= 5
