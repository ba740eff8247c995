"""Under Megatron-core a model learns as in one process, whatever the layout."""

import math
from typing import Any

import megatron_curves as curves
import pytest
import torch
from torch import Tensor

import tiny
from groundup.alignment.answers import Answer
from groundup.alignment.critic import ScalarModel
from groundup.alignment.preference import PreferenceObjective
from groundup.alignment.reward import RewardModel
from groundup.alignment.sft import Lesson, SftObjective
from groundup.errors import GroundupError
from groundup.model.configuration import FAMILIES
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import DivergedError, Engine
from groundup.training.configuration import LoopConfig

pytestmark = [pytest.mark.engines, curves.needs_megatron]

Layout = dict[str, Any]
TWO: dict[str, Layout] = {
    "tp 2": {"tp": 2, "sequence_parallel": False},
    "tp 2, sequence parallel": {"tp": 2},
    "pp 2": {"pp": 2},
    "pp 2, interleaved": {"pp": 2, "schedule": "interleaved"},
    "dp 2": {"dp_replicate": 2},
    "dp 2, distributed optimizer": {"dp_shard": 2},
    "cp 2": {"cp": 2},
}
FOUR: dict[str, Layout] = {
    "tp 2 x pp 2": {"tp": 2, "pp": 2},
    "tp 2 x pp 2, interleaved": {"tp": 2, "pp": 2, "schedule": "interleaved"},
    "tp 2 x dp 2, distributed optimizer": {"tp": 2, "dp_shard": 2},
    "pp 2 x dp 2": {"pp": 2, "dp_replicate": 2},
    "tp 2 x cp 2": {"tp": 2, "cp": 2},
}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen3, untied, some layers slide": FAMILIES["qwen3"]
    | {
        "tie_word_embeddings": False,
        "sliding_window": 6,
        "layer_types": ("sliding_attention", "full_attention", "full_attention", "sliding_attention"),
    },
    "gpt2": FAMILIES["gpt2"] | {"num_key_value_heads": 4},
    "muP, capped, z-loss": {"mup_base_width": 8, "final_logit_softcapping": 3.0, "z_loss_coef": 1e-2},
}
HELDOUT = [batch for step in (90, 91) for batch in curves.batches(step)][:5]  # as many as no schedule likes


def measured(engine: Engine) -> dict[str, Any]:
    """All that a run shows of itself."""
    curve = curves.train(engine)
    evaluated = engine.evaluate(HELDOUT, curves.loss)
    return {"curve": curve, "evaluated": evaluated, "state": {k: v.clone() for k, v in engine.state().items()}}


def over(layouts: dict[str, Layout], shapes: dict[str, dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """In each process of a job: one engine after the other."""
    found = {}
    for name, layout in layouts.items():
        for shape, changes in shapes.items():
            engine = curves.megatron(curves.model(**changes), **layout)
            found[name, shape] = measured(engine)
            engine.close()
    return found


@pytest.fixture(scope="module")
def one() -> dict[str, dict[str, Any]]:
    """What one process of plain PyTorch shows, by shape."""
    return {name: measured(curves.single(curves.model(**changes))) for name, changes in SHAPES.items()}


@pytest.fixture(scope="module")
def spread() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """What each process shows, by layout and shape: all layouts with one shape, all shapes with some layouts."""
    others = {name: shape for name, shape in SHAPES.items() if name != "llama"}
    jobs = [
        (1, {"one process": {}}, SHAPES),
        (2, TWO, {"llama": {}}),
        (2, {"tp 2, sequence parallel": {"tp": 2}}, others),
        (4, FOUR, {"llama": {}}),
        (4, {"tp 2 x pp 2": {"tp": 2, "pp": 2}}, others),
    ]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for size, layouts, shapes in jobs:
        of_ranks = curves.run(size, over, layouts, shapes)
        found |= {key: [of_rank[key] for of_rank in of_ranks] for key in of_ranks[0]}
    return found


CASES = [
    *[(layout, "llama") for layout in ("one process", *TWO, *FOUR)],
    *[
        (layout, s)
        for s in SHAPES
        if s != "llama"
        for layout in ("one process", "tp 2, sequence parallel", "tp 2 x pp 2")
    ],
]


@pytest.mark.parametrize(("layout", "shape"), CASES)
def test_curves_are_those_of_one_process(layout: str, shape: str, one: Any, spread: Any) -> None:
    """Losses, gradient norms and accuracies of ten steps with clipping, accumulation and unequal valid tokens."""
    for of_rank in spread[layout, shape]:
        assert curves.furthest(of_rank["curve"], one[shape]["curve"]) < 1e-5


@pytest.mark.parametrize(("layout", "shape"), CASES)
def test_weights_and_optimizer_state_are_those_of_one_process(layout: str, shape: str, one: Any, spread: Any) -> None:
    leader, *others = spread[layout, shape]
    wanted = one[shape]["state"]
    assert leader["state"].keys() == wanted.keys()
    for name, tensor in wanted.items():
        if not name.endswith(
            "k_proj.bias"
        ):  # softmax doesn't see it: its gradient is rounding, and AdamW makes it large
            assert torch.allclose(leader["state"][name], tensor, atol=3e-4 if name.startswith("model.") else 1e-5), name
    assert not any(other["state"] for other in others)


@pytest.mark.parametrize(("layout", "shape"), CASES)
def test_evaluation_is_that_of_one_process(layout: str, shape: str, one: Any, spread: Any) -> None:
    total, sums = one[shape]["evaluated"]
    for of_rank in spread[layout, shape]:
        found, found_sums = of_rank["evaluated"]
        assert found == pytest.approx(total, rel=1e-5)
        assert found_sums == sums


def test_the_curve_is_a_hard_one(one: Any) -> None:
    """Clipping is at work and micro-batches differ in width and weight."""
    assert sum(norm > curves.CLIP for _, norm, _ in one["llama"]["curve"]) > curves.STEPS / 2
    mine = curves.batches(3)
    assert len({batch.inputs_BT.shape for batch in mine}) == len({curves.weight(batch) for batch in mine}) == 4


@pytest.mark.parametrize("recompute", ["full", "selective"])
def test_activations_computed_twice_change_nothing(recompute: str, one: Any) -> None:
    def run() -> curves.Curve:
        return curves.train(curves.megatron(config={"activation_checkpointing": recompute}, tp=2))

    assert all(curves.furthest(curve, one["llama"]["curve"]) < 1e-5 for curve in curves.run(2, run))


@pytest.mark.parametrize("layout", [{"tp": 2}, {"pp": 2}, {"dp_shard": 2}], ids=str)
def test_bf16_is_near_and_its_weights_are_float32(layout: Layout, one: Any) -> None:
    def run() -> tuple[curves.Curve, set[torch.dtype]]:
        engine = curves.megatron(precision="bf16", **layout)
        return curves.train(engine), {tensor.dtype for tensor in engine.state().values()}

    results = curves.run(2, run)
    losses = [[row[0] for row in curve] for curve, _ in results]
    assert results[0][1] == {torch.float32}
    assert losses[0] == losses[1]
    difference = max(abs(a - b[0]) for a, b in zip(losses[0], one["llama"]["curve"], strict=True))
    assert 0 < difference < 3e-2


def test_a_step_that_is_not_finite_or_not_accepted_changes_nothing() -> None:
    """Wherever the bad number appears, all processes say so, and the next step is that of an engine without it."""

    def bad(model: Any, batch: Any) -> tuple[Tensor, dict[str, Tensor]]:
        total, sums = curves.loss(model, batch)
        return total * (math.nan if len(batch.inputs_BT) and batch.inputs_BT[0, 0] == first else 1.0), sums

    first = int(curves.batches(1)[2].inputs_BT[0, 0])

    def run() -> tuple[bool, bool, bool, float]:
        engine, asked = curves.megatron(pp=2), []
        curves.train(engine, range(1))
        before = engine.state()
        mine = curves.batches(1, engine.data_rank)
        weights = [curves.weight(batch) for batch in mine]
        diverged = False
        try:
            engine.train_step(mine, weights, bad, 1e-2, curves.CLIP, where="sft, step 2")
        except DivergedError as error:
            diverged = error.where == "sft, step 2" and "training has diverged" in error.what
        refused = engine.train_step(
            mine, weights, curves.loss, 1e-2, curves.CLIP, accept=lambda *seen: bool(asked.append(seen))
        )
        unchanged = curves.same(before, engine.state()) and asked == [(refused.loss, refused.gradient_norm)]
        return diverged, not refused.taken, unchanged, curves.train(engine, range(1, 2))[0][0]

    reference = curves.train(curves.single(), range(2))[1][0]
    for diverged, refused, unchanged, next_loss in curves.run(2, run):
        assert diverged and refused and unchanged
        assert next_loss == pytest.approx(reference, abs=1e-6)


def answers(count: int, seed: int) -> list[Answer]:
    """Prompts and answers of many lengths."""
    numbers = tiny.ids(1, 400, seed=seed)[0].tolist()
    return [
        Answer(numbers[7 * i : 7 * i + 3 + i % 4], numbers[200 + 5 * i : 202 + 5 * i + i % 6]) for i in range(count)
    ]


def objectives() -> dict[str, Any]:
    drawing = {"batch": 8, "accumulate": 2, "pad": 0, "seed": 3}
    lessons = [Lesson([answer]) for answer in answers(24, 1)]
    known = tiny.referred(list(zip(answers(16, 1), answers(16, 2), strict=True)), curves.model(seed=9).eval())
    return {
        "sft": SftObjective(lessons, answers(5, 4), **drawing),
        "sft, packed": SftObjective(lessons, answers(5, 4), **drawing, context=40),
        "dpo": PreferenceObjective(known, known[:5], beta=0.1, label_smoothing=0.0, **drawing),
    }


def taught(engine: Engine) -> dict[str, list[float]]:
    """Three steps of each objective, as the loop takes them, and its held-out figures."""
    found = {}
    for name, objective in objectives().items():
        rows = []
        for step in range(3):
            mine = objective.batches(step, engine.data_rank)
            weights = [objective.weight(batch) for batch in mine]
            result = engine.train_step(mine, weights, objective.loss, 3e-3, 1.0)
            rows += [result.loss, result.gradient_norm, *result.statistics.values(), result.weight]
        found[name] = rows + list(objective.validate(engine).values())
    return found


@pytest.mark.parametrize("layout", [{"tp": 2}, {"pp": 2}, {"dp_shard": 2}, {"cp": 2}], ids=str)
def test_alignment_objectives_know_nothing_of_it(layout: Layout) -> None:
    def run() -> dict[str, list[float]]:
        return taught(curves.megatron(config={"accumulate": 2}, **layout))

    wanted = taught(curves.single())
    for found in curves.run(2, run):
        for name, values in wanted.items():
            assert found[name] == pytest.approx(values, rel=1e-4, abs=1e-5), name


def said(build: Any) -> str:
    try:
        build()
    except GroundupError as error:
        return str(error)
    return "nothing"


def frozen() -> CustomLanguageModel:
    made = tiny.model()
    made.model.norm.requires_grad_(False)
    return made


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("megatron trains all of a model, and pretrain trains a part of it", {"of": frozen()}),
        ("pretrain trains another head", {"of": RewardModel(tiny.model())}),
        ("pretrain trains another head", {"of": ScalarModel(tiny.model())}),
        ("layers can't be watched", {"config": {"telemetry": {"layers": 10}}}),
        ("4 layers make no 3 equal stages", {"pp": 3}),
    ],
)
def test_what_it_cannot_do_is_refused_before_training(message: str, given: dict[str, Any]) -> None:
    """Each by the process that is asked, before anything is built; `test_advice` has the rest."""
    assert all(message in of_rank for of_rank in curves.run(given.get("pp", 1), said, lambda: curves.megatron(**given)))


def test_an_average_is_kept_over_shards(one: Any) -> None:
    def run() -> dict[str, Tensor]:
        engine = curves.megatron(config={"ema": 0.9}, tp=2, pp=2)
        curves.train(engine)
        with engine.averaged(), engine.whole() as whole:
            weights = {name: parameter.detach().clone() for name, parameter in whole.named_parameters()}
        return engine.state() | {f"swapped.{name}": weight for name, weight in weights.items()}

    plain = curves.single(config=LoopConfig(ema=0.9))
    curves.train(plain)
    found, *others = curves.run(4, run)
    assert int(found["average.steps"]) == curves.STEPS
    for name, tensor in plain.state().items():
        if name.startswith("average.weight."):
            assert torch.allclose(found[name], tensor, atol=1e-4), name
            whole = found[f"swapped.{name.removeprefix('average.weight.')}"]
            assert torch.equal(found[name], whole)
            assert all(torch.equal(whole, other[f"swapped.{name.removeprefix('average.weight.')}"]) for other in others)
