"""A ladder is a grid of sizes and budgets with one held-out model; the law that made its losses is found again."""

from dataclasses import replace

import numpy as np
import pytest

from groundup.blueprint import gallery
from groundup.blueprint.load import LoadedBlueprint, load
from groundup.errors import GroundupError
from groundup.planning.budget import Budget, advised, verdict
from groundup.planning.ladder import Rung, ladder, multiplied, open_shape, size_for
from groundup.planning.scaling import ScalingLaw
from groundup.planning.study import MeasuredRung, ScalingStudy, as_json, recommend, study

LAW = ScalingLaw(e=1.5, a=60.0, b=90.0, alpha=0.3, beta=0.27)
NOISE = 0.005  # nats


def loaded(*overrides: str) -> LoadedBlueprint:
    return load(gallery.FOLDER / "scaling-ladder.yaml", overrides)


def measured(rungs: tuple[Rung, ...], seed: int, noise: float = NOISE) -> list[MeasuredRung]:
    """The rungs as they would come out if `LAW` held and every run had its luck."""
    luck = np.random.default_rng(seed).normal(0, noise, len(rungs))
    losses = [float(LAW.loss(rung.n, rung.tokens) + one) for rung, one in zip(rungs, luck, strict=True)]
    return [MeasuredRung(rung, 1, rung.tokens, 100, loss, 10.0, 0.5) for rung, loss in zip(rungs, losses, strict=True)]


@pytest.fixture(scope="module")
def rungs() -> tuple[Rung, ...]:
    one = loaded()
    return ladder(one.blueprint, one.derived)


@pytest.fixture(scope="module")
def found(rungs: tuple[Rung, ...]) -> ScalingStudy:
    return study(measured(rungs, 0), draws=20)


def test_sizes_and_budgets_make_a_grid_and_the_largest_model_is_heldout(rungs: tuple[Rung, ...]) -> None:
    *fitted, last = rungs
    by_budget = [[rung for rung in fitted if rung.budget == budget] for budget in range(3)]
    assert [len({rung.n for rung in each}) for each in by_budget] == [4, 4, 4]
    for budget, each in enumerate(by_budget):
        assert [rung.flops for rung in each] == pytest.approx([each[0].flops] * 4, rel=1e-3)
        assert each[0].flops == pytest.approx(by_budget[0][0].flops * 2**budget, rel=1e-3)
    assert last.heldout and last.n > max(rung.n for rung in fitted)
    assert last.flops == pytest.approx(2 * fitted[-1].flops, rel=1e-3)
    assert sum(rung.flops for rung in rungs) == pytest.approx(3e13, rel=1e-3)  # what the blueprint gives it


def test_every_rung_is_a_blueprint_whose_model_and_rates_are_as_planned(rungs: tuple[Rung, ...]) -> None:
    """Muon keeps its rate; AdamW's is scaled by the fitted exponent, and one that `size` derives is derived again."""
    for rung in (rungs[0], rungs[-1]):
        one = loaded(*rung.overrides).blueprint
        shape = open_shape(one, int(one.size[:-1]) * 1000 if one.size[-1] == "K" else int(float(one.size[:-1]) * 1e6))
        assert multiplied(shape, one.pretrain.sequence) == rung.n and one.pretrain.tokens == rung.tokens
        assert one.pretrain.learning_rate == 1e-2
    adamw = loaded("pretrain.optimizer.name=adamw", "pretrain.learning_rate=2e-3")
    rates = [
        loaded(*adamw.overrides, *rung.overrides).blueprint.pretrain.learning_rate
        for rung in ladder(adamw.blueprint, adamw.derived)[::12]
    ]
    assert rates[0] / rates[1] == pytest.approx(8**0.125, rel=0.01) and rates[1] > 2e-3
    open_ = loaded("pretrain.optimizer.name=adamw", "pretrain.learning_rate=null", "pretrain.batch_tokens=null")
    rung = ladder(open_.blueprint, open_.derived)[0]
    small = loaded(*open_.overrides, *rung.overrides)
    assert {"pretrain.learning_rate", "pretrain.batch_tokens"} <= set(small.derived)


def test_named_sizes_are_taken_and_bad_ladders_refused() -> None:
    one = loaded("scale.sizes=[200K, 400K, 700K, 1M]", "scale.budgets=2")
    made = ladder(one.blueprint, one.derived)
    assert [rung.size for rung in made] == ["700K", "400K", "200K"] * 2 + ["1M"]
    same = loaded("scale.sizes=[300K, 301K, 302K]")
    with pytest.raises(GroundupError, match=r"scale\.sizes: two of the sizes give the same model"):
        ladder(same.blueprint, same.derived)
    poor = loaded("scale.flops=1e9")
    with pytest.raises(GroundupError, match=r"scale\.flops: a model of .* would read only"):
        ladder(poor.blueprint, poor.derived)


def test_the_law_of_the_losses_is_found_and_predicts_the_model_heldout(rungs: tuple[Rung, ...]) -> None:
    """Four ladders with luck of .005 nats: predicted to 2 %, inside the interval for most seeds; and a held-out model
    that is off by .3 nats is not."""
    inside = []
    for seed in range(4):
        one = study(measured(rungs, seed), draws=20)
        assert one.test and one.test.predicted.value == pytest.approx(one.test.measured.loss, rel=0.02)
        inside.append(one.test.inside >= 3)
    assert sum(inside) >= 3
    off = measured(rungs, 0)
    off[-1] = replace(off[-1], loss=off[-1].loss + 0.3)
    test = study(off, draws=20).test
    assert test and test.inside == 0 and "outside" in verdict(study(off, draws=20))[-1]


def test_the_budget_is_spent_as_the_law_says(found: ScalingStudy, rungs: tuple[Rung, ...]) -> None:
    """Without noise, and far away, the recommendation is the law's own optimum; in hours by the ladder's own speed."""
    exact = study(measured(rungs, 0, noise=0.0), draws=20)
    best = recommend(exact, 1e15)
    assert best and (best.n.value, best.tokens.value) == pytest.approx(LAW.optimum(1e15), rel=1e-3)
    assert 6 * best.n.value * best.tokens.value == pytest.approx(1e15)
    assert exact.test
    speed = exact.test.measured.flops / 10.0
    assert Budget(hours=2).flops_with(exact, 0) == pytest.approx(7200 * speed)
    assert Budget(money=100, price=2.5, device="h100").flops_with(exact, 0) == pytest.approx(40 * 3600 * 989e12 * 0.4)
    assert Budget().flops_with(exact, 5.0) == 5.0
    for wrong in (Budget(flops=1, hours=1), Budget(money=1), Budget(hours=1, device="abacus")):
        with pytest.raises(GroundupError):
            wrong.check()
    one = loaded().blueprint
    _, lines, values = advised(exact, one, Budget(flops=1e15), corpus_tokens=1_000_000)
    assert "would be read" in " ".join(lines)  # a corpus of a million tokens is too small for that
    size = load(gallery.FOLDER / "scaling-ladder.yaml", [f"size={values['size']}"]).blueprint.size
    assert multiplied(open_shape(one, round(float(size[:-1]) * 1e6)), 128) == pytest.approx(best.n.value, rel=0.1)
    assert as_json(found, best, values, lines)["recommended"]["flops"] == 1e15


def test_a_size_is_found_for_every_n() -> None:
    one = loaded().blueprint
    for n in (2e5, 3e6, 1e9):
        assert multiplied(size_for(one, n)[1], 128) == pytest.approx(n, rel=0.4 if n < 1e6 else 0.07)


def test_where_text_has_no_effect_nothing_is_recommended(rungs: tuple[Rung, ...]) -> None:
    flat = [replace(one, loss=2 + 100 * one.rung.n**-0.4 + 1e-9 * one.tokens) for one in measured(rungs, 0)]
    one = study(flat, draws=20)
    best, lines, values = advised(one, loaded().blueprint, Budget(), 10**8)
    assert best is None and values == {} and "more text does not lower the loss" in lines[0]
