"""Each layer's figures against those worked out by hand around a step of plain PyTorch."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tiny
from groundup.errors import GroundupError
from groundup.parallel.engine import Engine
from groundup.parallel.recompute import checkpoint_blocks
from groundup.training.telemetry.layers import LayerWatch, layer_of

CLIP = 0.1
BATCHES = [(tiny.ids(rows, 7, seed=rows), tiny.ids(rows, 7, seed=50 + rows)) for rows in (3, 2)]


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    return F.cross_entropy(model(batch[0])[0].flatten(0, 1), batch[1].flatten(), reduction="sum"), {}


def norm(tensors: list[Tensor]) -> float:
    return float(torch.linalg.vector_norm(torch.cat([tensor.detach().flatten() for tensor in tensors])))


@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_by_hand(checkpointing: str) -> None:
    plain, watched = tiny.model(), tiny.engine(tiny.model())
    checkpoint_blocks(watched.model.model.layers, checkpointing)
    watch = LayerWatch(watched)
    with watch.step():
        result = watched.train_step(BATCHES, [21, 14], loss, 1e-2, CLIP)
    cut = CLIP / result.gradient_norm
    assert cut < 0.5
    rows = {row["layer"]: row for row in watch.rows()}

    streams: list[list[Tensor]] = [[], []]
    for layer, block in enumerate(plain.model.layers):
        block.register_forward_hook(lambda _m, _i, output, layer=layer: streams[layer].append(output[0].detach()))
    before = {name: parameter.detach().clone() for name, parameter in plain.named_parameters()}
    sum(loss(plain, batch)[0] / 35 for batch in BATCHES).backward()
    after = dict(watched.model.named_parameters())
    names = {
        "model.embed_tokens": ["model.embed_tokens.weight"],
        "model.norm": ["model.norm.weight"],
        **{layer: [name for name in before if f"layers.{layer}." in name] for layer in (0, 1)},
    }
    assert rows.keys() == names.keys()
    for layer, members in names.items():
        row = rows[layer]
        gradients = dict(plain.named_parameters())
        assert row["gradient_norm"] == pytest.approx(cut * norm([gradients[name].grad for name in members]), rel=1e-4)
        assert row["weight_norm"] == pytest.approx(norm([before[name] for name in members]), rel=1e-5)
        moved = norm([after[name] - before[name] for name in members]) / row["weight_norm"]
        assert row["update_ratio"] == pytest.approx(moved, rel=1e-3)
        if isinstance(layer, int):
            expected = torch.cat([stream.flatten() for stream in streams[layer]]).square().mean().sqrt()
            assert row["activation_rms"] == pytest.approx(float(expected), rel=1e-5)
        else:
            assert "activation_rms" not in row


def test_no_hook_remains_and_a_step_not_taken_has_no_rows() -> None:
    engine = tiny.engine(tiny.model())
    watch = LayerWatch(engine)
    with watch.step():
        engine.train_step(BATCHES, [21, 14], loss, 1e-2, CLIP, accept=lambda loss, norm: False)
    assert watch.rows() == []
    hooks = [module for module in engine.model.modules() if module._forward_hooks]
    assert hooks == [] and not engine.optimizer._optimizer_step_pre_hooks
    assert not engine.optimizer._optimizer_step_post_hooks


def test_of_several_steps_the_last_is_recorded_and_sampling_is_not() -> None:
    """As in an iteration of PPO: answers are sampled, then the policy takes several steps."""
    engine, twin = tiny.engine(tiny.model()), tiny.engine(tiny.model())
    watch, last = LayerWatch(engine), LayerWatch(twin)
    with watch.step():
        with torch.no_grad():
            engine.model(tiny.ids(4, 60))
        for _ in range(2):
            engine.train_step(BATCHES, [21, 14], loss, 1e-2, CLIP)
    twin.train_step(BATCHES, [21, 14], loss, 1e-2, CLIP)
    with last.step():
        twin.train_step(BATCHES, [21, 14], loss, 1e-2, CLIP)
    names = ("layer", "gradient_norm", "weight_norm", "update_ratio")
    several, one = ([{name: row[name] for name in names} for row in each.rows()] for each in (watch, last))
    assert several == one


def test_an_engine_that_keeps_its_optimizer_to_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"telemetry\.layers: .*parallel\.engine: torch"):
        LayerWatch(SimpleNamespace(optimizer=object()))  # type: ignore[arg-type]
    assert issubclass(type(tiny.engine(tiny.model())), Engine)


def test_names() -> None:
    assert layer_of("model.layers.11.mlp.up_proj.weight") == "11"
    assert layer_of("layers.3") == "3"
    assert layer_of("model.embed_tokens.weight") is None
    assert layer_of("model.players.3.weight") is None
