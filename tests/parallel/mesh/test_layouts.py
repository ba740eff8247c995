"""Every layout takes the steps of a single process: losses and gradient norms of ten steps, and what is left then.

The table is data: a row is a name, the degrees and what is trained. `EACH` has every kind of layout; how they and the
models combine further is in the slow tests.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ranks
from curves import GPT2, LLAMA, Curve, Training, expected, steps
from groundup.model import linear
from groundup.model.configuration import FAST, UNIT_START
from groundup.model.lora_config import LoraConfig
from groundup.parallel.advice import HALVES_SINCE, MUON_SINCE
from groundup.parallel.compilation import SINCE as COMPILED_SINCE
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.mesh.engine import MeshEngine
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

LLAMA_SHAPED, GPT2_SHAPED = Training(), Training(shape=dict(GPT2))
LORA = Training(lora=LoraConfig(rank=4))
SPARSE = Training(shape={"num_experts": 4, "router_aux_loss_coef": 0.1})
MUON_SPARSE = replace(SPARSE, optimizer=OptimizerConfig(name="muon"))
MUON, ADAFACTOR = (Training(optimizer=OptimizerConfig(name=name)) for name in ("muon", "adafactor"))
RECIPE = OptimizerConfig(name="muon", iterations=3, cautious=True, momentum_warmup=4, embedding_scale=3)
OWN_HEAD = {"tie_word_embeddings": False}
UNIT = Training(shape=LLAMA | UNIT_START | OWN_HEAD | {"qk_norm": True}, optimizer=RECIPE)
FASTEST = Training(shape=LLAMA | FAST | OWN_HEAD, optimizer=RECIPE)
CAPPED = Training(shape={"tie_word_embeddings": False, "final_logit_softcapping": 5.0, "z_loss_coef": 0.01}, length=15)
DEEP = Training(shape=LLAMA | {"num_hidden_layers": 4}, accumulate=4)
DEEP_UNTIED = Training(shape=GPT2 | {"num_hidden_layers": 4, "tie_word_embeddings": False}, accumulate=4)
DEEP_MIXTURE = Training(shape=DEEP.shape | {"num_experts": 4, "router_aux_loss_coef": 0.1}, accumulate=4)
EACH: dict[str, tuple[dict[str, Any], Training]] = {
    "ddp 2": ({"dp_replicate": 2}, LLAMA_SHAPED),
    "fsdp 2": ({"dp_shard": 2}, LLAMA_SHAPED),
    "hsdp 2x2": ({"dp_replicate": 2, "dp_shard": 2}, LLAMA_SHAPED),
    "tp 2": ({"tp": 2, "sequence_parallel": False}, LLAMA_SHAPED),
    "tp 2, sequence": ({"tp": 2}, LLAMA_SHAPED),
    "fsdp 2, tp 2": ({"dp_shard": 2, "tp": 2}, LLAMA_SHAPED),
    "lora: ddp 2": ({"dp_replicate": 2}, LORA),
    "lora: fsdp 2": ({"dp_shard": 2}, LORA),
    "gpt2: fsdp 2, tp 2": ({"dp_shard": 2, "tp": 2}, GPT2_SHAPED),
    "rows of 15, capped logits, z-loss: tp 2": ({"tp": 2}, CAPPED),
    "muon: fsdp 2, tp 2": ({"dp_shard": 2, "tp": 2}, MUON),
    "unit start: fsdp 2": ({"dp_shard": 2}, UNIT),
    "fast: ddp 2": ({"dp_replicate": 2}, FASTEST),
    "cp 2": ({"cp": 2}, LLAMA_SHAPED),
    "fsdp 2, cp 2": ({"dp_shard": 2, "cp": 2}, LLAMA_SHAPED),
    "experts: ep 2": ({"dp_shard": 2, "ep": 2}, SPARSE),
    "experts: fsdp 4, ep 2": ({"dp_shard": 4, "ep": 2}, SPARSE),
    "muon, experts: fsdp 4, ep 2": ({"dp_shard": 4, "ep": 2}, MUON_SPARSE),
    "experts, rows of 15: tp 2": ({"tp": 2}, replace(SPARSE, length=15)),
    "pp 2, gpipe": ({"pp": 2, "schedule": "gpipe"}, DEEP),
    "pp 2, 1f1b": ({"pp": 2, "schedule": "1f1b"}, DEEP),
    "pp 2, interleaved": ({"pp": 2, "schedule": "interleaved"}, DEEP),
    "pp 2, zero bubble": ({"pp": 2, "schedule": "zero_bubble"}, DEEP),
    "gpt2, untied: pp 2, zero bubble": ({"pp": 2, "schedule": "zero_bubble"}, DEEP_UNTIED),
    "mixture: pp 2, fsdp 2": ({"pp": 2, "dp_shard": 2}, DEEP_MIXTURE),
    "pp 2, fsdp 2": ({"pp": 2, "dp_shard": 2}, DEEP),
    "pp 2, fsdp 2, tp 2": ({"pp": 2, "dp_shard": 2, "tp": 2}, DEEP),
}
COMBINED: dict[str, tuple[dict[str, Any], Training]] = {
    "ddp 2, tp 2": ({"dp_replicate": 2, "tp": 2}, LLAMA_SHAPED),
    "fast: fsdp 2": ({"dp_shard": 2}, FASTEST),
    "unit start: tp 2": ({"tp": 2}, UNIT),
    "gpt2: fsdp 2": ({"dp_shard": 2}, GPT2_SHAPED),
    "gpt2: tp 2": ({"tp": 2, "sequence_parallel": False}, GPT2_SHAPED),
    "gpt2: tp 2, sequence": ({"tp": 2}, GPT2_SHAPED),
    "recompute all: fsdp 2, tp 2": ({"dp_shard": 2, "tp": 2}, replace(LLAMA_SHAPED, recompute="full")),
    "recompute some: fsdp 2": ({"dp_shard": 2}, replace(LLAMA_SHAPED, recompute="selective")),
    "lora of gpt2, recompute all: fsdp 2, cp 2": (
        {"dp_shard": 2, "cp": 2},
        replace(LORA, shape=dict(GPT2), recompute="full"),
    ),
    "compiled: ddp 2": ({"dp_replicate": 2}, replace(LLAMA_SHAPED, compiled=True)),
    "compiled: pp 2": ({"pp": 2}, replace(DEEP, compiled=True)),
    "compiled: fsdp 2": ({"dp_shard": 2}, replace(LLAMA_SHAPED, compiled=True)),
    "compiled: hsdp 2x2": ({"dp_replicate": 2, "dp_shard": 2}, replace(LLAMA_SHAPED, compiled=True)),
    "compiled: pp 2, fsdp 2": ({"pp": 2, "dp_shard": 2}, replace(DEEP, compiled=True)),
    "offload: fsdp 2": ({"dp_shard": 2, "offload": True}, LLAMA_SHAPED),
    "muon: hsdp 2x2": ({"dp_replicate": 2, "dp_shard": 2}, MUON),
    "adafactor: fsdp 2, tp 2": ({"dp_shard": 2, "tp": 2}, ADAFACTOR),
    "cp 2, tp 2": ({"cp": 2, "tp": 2}, LLAMA_SHAPED),
    "pp 2, cp 2": ({"pp": 2, "cp": 2}, LLAMA_SHAPED),
    "gpt2: ddp 2, cp 2": ({"dp_replicate": 2, "cp": 2}, GPT2_SHAPED),
    "experts: fsdp 2": ({"dp_shard": 2}, SPARSE),
    "experts: ddp 2, ep 2": ({"dp_replicate": 2, "dp_shard": 2, "ep": 2}, SPARSE),
    "experts: ep 2, cp 2": ({"dp_shard": 2, "cp": 2, "ep": 2}, SPARSE),
    "experts: ep 2, tp 2": ({"dp_shard": 2, "tp": 2, "ep": 2}, SPARSE),
    "muon, experts: fsdp 3": ({"dp_shard": 3}, replace(MUON_SPARSE, rows=6)),
    "muon, experts: hsdp 2x2": ({"dp_replicate": 2, "dp_shard": 2}, MUON_SPARSE),
    "muon, experts: ddp 2, ep 2": ({"dp_replicate": 2, "dp_shard": 2, "ep": 2}, MUON_SPARSE),
    "muon, experts: ep 2, cp 2": ({"dp_shard": 2, "cp": 2, "ep": 2}, MUON_SPARSE),
    "muon, experts: fsdp 2, tp 2": ({"dp_shard": 2, "tp": 2}, MUON_SPARSE),
    "muon, experts: pp 2, ep 2": ({"pp": 2, "dp_shard": 2, "ep": 2}, MUON_SPARSE),
    "experts: pp 2, ep 2": ({"pp": 2, "dp_shard": 2, "ep": 2}, SPARSE),
    "gpt2, untied: pp 2, gpipe": ({"pp": 2, "schedule": "gpipe"}, DEEP_UNTIED),
    "gpt2, untied: pp 2, 1f1b": ({"pp": 2, "schedule": "1f1b"}, DEEP_UNTIED),
    "gpt2, untied: pp 2, interleaved": ({"pp": 2, "schedule": "interleaved"}, DEEP_UNTIED),
    "mixture: pp 2, interleaved": ({"pp": 2, "schedule": "interleaved"}, DEEP_MIXTURE),
    "mixture: pp 2, tp 2": ({"pp": 2, "tp": 2}, DEEP_MIXTURE),
    "mixture, rows of 15: pp 2, tp 2": ({"pp": 2, "tp": 2}, replace(DEEP_MIXTURE, length=15)),
    "muon: pp 2": ({"pp": 2}, replace(DEEP, optimizer=OptimizerConfig(name="muon"))),
    "pp 4": ({"pp": 4}, DEEP),
    "pp 2, ddp 2": ({"pp": 2, "dp_replicate": 2}, DEEP),
    "pp 2, fsdp 2, interleaved": ({"pp": 2, "dp_shard": 2, "schedule": "interleaved"}, DEEP),
    "gpt2, untied: pp 2, fsdp 2, zero bubble": ({"pp": 2, "dp_shard": 2, "schedule": "zero_bubble"}, DEEP_UNTIED),
    "pp 2, tp 2, zero bubble": ({"pp": 2, "tp": 2, "schedule": "zero_bubble"}, DEEP),
    "pp 2, tp 2, rows of 15": ({"pp": 2, "tp": 2}, replace(DEEP, length=15)),
    "gpt2, untied: pp 2, fsdp 2, tp 2": ({"pp": 2, "dp_shard": 2, "tp": 2}, DEEP_UNTIED),
}
ROWS = EACH | COMBINED
if torch.__version__ < MUON_SINCE:
    ROWS = {row: given for row, given in ROWS.items() if row != "muon: fsdp 2, tp 2"}
if torch.__version__ < COMPILED_SINCE:
    ROWS = {row: given for row, given in ROWS.items() if not given[1].compiled}
if torch.__version__ < HALVES_SINCE:
    ROWS = {row: given for row, given in ROWS.items() if given[0].get("schedule") != "zero_bubble"}

Curves = dict[str, list[Curve]]  # of every process, by row


def train(parallel: ParallelConfig, training: Training) -> Curve:
    maker = make_optimizer(training.optimizer)
    engine = MeshEngine(training.model(), maker, parallel, training.precision, training.ema)
    return steps(engine, training)


def train_row(row: str) -> Curve:
    linear.MIN_ONEDNN, linear.ONEDNN_IS_FASTER = 0, bool(linear.OPERATORS)  # even for matrices as small as these
    torch._inductor.config.compile_threads = 1  # the compiler's own processes don't outlive the fork that made this one
    degrees, training = ROWS[row]
    return train(ParallelConfig(**degrees), training)


@pytest.fixture(scope="module")
def curves(request: pytest.FixtureRequest) -> Curves:
    """Of the rows that are asked for, those of one number of processes in the same ones."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    asked = {item.callspec.params.get("row") for item in items}
    by_size: dict[int, list[str]] = {}
    for row, (degrees, _) in ROWS.items():
        if row in asked:
            by_size.setdefault(ParallelConfig(**degrees).processes, []).append(row)
    found: Curves = {}
    with pytest.MonkeyPatch.context() as patch:
        # Muon rounds to bfloat16 where that is fast, and sums of more processes would be rounded otherwise
        patch.setattr("groundup.training.optimizer._fastest", lambda device: torch.float32)
        for size, rows in by_size.items():
            for row in rows:
                expected(ROWS[row][1])
            found |= ranks.run_each(size, train_row, {row: (row,) for row in rows}, seconds=900)
    return found


@pytest.mark.parametrize("row", [row if row in EACH else pytest.param(row, marks=pytest.mark.slow) for row in ROWS])
def test_the_curve_is_that_of_one_process(row: str, curves: Curves) -> None:
    mine = curves[row]
    assert all(curve == mine[0] for curve in mine)
    assert mine[0].distance(expected(ROWS[row][1])) < 1e-5
    assert max(mine[0].norms) > 0.5  # it was clipped


IN_BF16 = {
    f"{name}: {degrees}": (ParallelConfig(**degrees), Training(shape=shape, precision="bf16"))
    for name, shape in (("llama", LLAMA), ("gpt2", GPT2))
    for degrees in ({"dp_replicate": 2}, {"dp_shard": 2}, {"tp": 2}, {"pp": 2})
}


@pytest.fixture(scope="module")
def bf16_curves() -> Curves:
    return ranks.run_each(2, train, IN_BF16)


@pytest.mark.parametrize("row", IN_BF16)
def test_in_bfloat16_the_curve_is_near(row: str, bf16_curves: Curves) -> None:
    """Weights that FSDP gathers as bfloat16 are those that autocast makes of them in one process."""
    _, training = IN_BF16[row]
    curves = bf16_curves[row]
    assert all(curve == curves[0] for curve in curves)
    assert curves[0].distance(expected(training), relative=True) < 3e-2
    assert curves[0].distance(expected(replace(training, precision="fp32")), relative=True) < 3e-2


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < COMPILED_SINCE, reason=f"compiled layers need PyTorch {COMPILED_SINCE}")
def test_code_that_others_have_compiled_is_right_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that find each other's code in one cache have trained wrongly elsewhere (pytorch/pytorch 188390)."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    row = "compiled: fsdp 2"
    for _cache in ("empty", "full"):
        for curve in ranks.run_each(2, train_row, {row: (row,)})[row]:
            assert curve.distance(expected(ROWS[row][1])) < 1e-5
        assert any(tmp_path.iterdir())
