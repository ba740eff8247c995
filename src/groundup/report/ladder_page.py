"""The page of a ladder: what to do first, then the rungs, the law through them, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import groundup
from groundup.planning.advice import short
from groundup.planning.data_forecast import ComparedCorpora
from groundup.planning.ladder import Rung
from groundup.planning.scaling import FLOPS_PER_PARAMETER_TOKEN, parabola
from groundup.planning.study import SEEDS, MeasuredRung, Recommendation, ScalingStudy, Spread
from groundup.report.markup import Html, code, figure, join, number, p, side_by_side, table, tag, term
from groundup.report.markup import listed as bullets
from groundup.report.page import brand, document
from groundup.report.plots import Curve, curves
from groundup.report.wording import SPACE, count, decimal, duration

MARKS = "abc"  # colours of budgets; with more of them they come again
POINTS = 24  # of a line
MEANINGS = {
    "e": "nats per token that no size and no amount of text takes away",
    "a": "how much a small model costs",
    "b": "how much little text costs",
    "alpha": "how fast size helps",
    "beta": "how fast text helps",
    "exponent": "the best size grows as this power of compute",
}


def ladder_page(
    title: str,
    found: ScalingStudy,
    sentences: Sequence[str],
    best: Recommendation | None,
    values: dict[str, str],
) -> Html:
    """The whole page.

    Args:
        sentences: what was found and what to do, as the terminal has them.
        values: of the blueprint, for the budget.
    """
    about = "Small models on the same documents, the law through their losses, and the size that it recommends."
    sections = [
        ("budget", "What to do", _budget(sentences, best, values)),
        ("ladder", "The ladder", _ladder(found)),
        ("law", "The law", _law(found)),
        ("rungs", "Every model", _rungs(found)),
    ]
    header = tag("header", brand(), tag("h1", title), p(about, class_="lead"))
    return document(title, header, sections, p(f"Made by groundup {groundup.__version__} from the ladder's artifacts."))


def data_page(
    title: str,
    rungs: Sequence[Rung],
    found: Sequence[ComparedCorpora],
    far: Spread,
    target: float,
    sentences: Sequence[str],
) -> Html:
    """Two corpora: what to take, then each pair of models."""
    about = "The same small models trained on two corpora, scored on documents that neither has trained on."
    drawn = curves(
        "corpora-difference",
        "Difference in bits per byte over compute, with the forecast.",
        [
            Curve(
                "measured", [one.flops for one in rungs], [one.difference.mean for one in found], dots=True, line=False
            ),
            Curve("forecast", [target], [far.value], "b", dots=True, line=False),
        ],
        x_label="FLOPs",
        y_label="bits per byte, second less first",
        zero=True,
        log_x=True,
    )
    rows = []
    for rung, one in zip(rungs, found, strict=True):
        between = Spread(one.difference.mean, one.difference.low, one.difference.high)
        rows.append((rung.size, count(rung.tokens), f"{rung.flops:.2g}", *map(decimal, one.bits), _difference(between)))
    columns = [number(name) for name in ("tokens", "FLOPs", "first", "second", "second less first")]
    models = join(
        [
            figure(
                "Difference over compute", drawn, "Below 0 the second corpus teaches more about the same documents."
            ),
            table(["size", *columns], rows),
        ]
    )
    sections = [("decision", "What to do", bullets(sentences)), ("models", "Every pair of models", models)]
    header = tag("header", brand(), tag("h1", title), p(about, class_="lead"))
    return document(title, header, sections, p(f"Made by groundup {groundup.__version__} from the ladder's artifacts."))


def _difference(one: Spread) -> str:
    return f"{one.value:+.4f} [{one.low:+.4f}, {one.high:+.4f}]".replace("-", "\u2212")


def _budget(sentences: Sequence[str], best: Recommendation | None, values: dict[str, str]) -> Html:
    lines = [f"{key.partition('.')[0]}:" if "." in key else f"{key}: {value}" for key, value in values.items()]
    nested = [f"  {key.partition('.')[2]}: {value}" for key, value in values.items() if "." in key]
    block = tag("pre", "\n".join([*lines, *nested])) if best is not None and values else None
    return join([bullets(sentences), p("In the blueprint:") if block else None, block])


def _ladder(found: ScalingStudy) -> Html:
    isoflop = curves(
        "ladder-isoflop",
        "Held-out loss over model size, a line for each compute budget: dots are measured, lines are the fitted law.",
        _isoflops(found),
        x_label="N",
        y_label="nats per token",
        log_x=True,
    )
    note = "Each line is one compute budget: a larger model reads less. Dots are trained models, lines are the law."
    everything = [*found.rungs, *([found.test.measured] if found.test else [])]
    compute = curves(
        "ladder-compute",
        "Held-out loss over compute: the trained models, and the best that the law has for each compute.",
        [
            Curve(
                "models", [one.flops for one in found.rungs], [one.loss for one in found.rungs], dots=True, line=False
            ),
            _heldout(found),
            _frontier(found, everything),
        ],
        x_label="FLOPs",
        y_label="nats per token",
        log_x=True,
    )
    frontier = f"The best loss for each compute, with its 95{SPACE}% interval. The held-out model was not fitted."
    return side_by_side(figure("Equal compute", isoflop, note), figure("Loss over compute", compute, frontier))


def _isoflops(found: ScalingStudy) -> list[Curve]:
    drawn = []
    for budget, rungs in _by_budget(found).items():
        colour = MARKS[budget % len(MARKS)]
        sizes = [one.rung.n for one in rungs]
        flops = float(np.mean([one.flops for one in rungs]))
        over = np.geomspace(min(sizes), max(sizes), POINTS)
        law = found.law.loss(over, flops / FLOPS_PER_PARAMETER_TOKEN / over)
        drawn.append(Curve(f"{flops:.1e}", over.tolist(), law.tolist(), colour))
        drawn.append(Curve("_", sizes, [one.loss for one in rungs], colour, dots=True, line=False))
    return drawn


def _heldout(found: ScalingStudy) -> Curve | None:
    if found.test is None:
        return None
    return Curve("held-out", [found.test.measured.flops], [found.test.measured.loss], "b", dots=True, line=False)


def _frontier(found: ScalingStudy, rungs: Sequence[MeasuredRung]) -> Curve | None:
    usable = [law for law in found.laws if law.has_optimum]
    if not found.law.has_optimum or not usable:
        return None
    over = np.geomspace(min(one.flops for one in rungs), max(one.flops for one in rungs), POINTS)
    best = [found.law.optimum(flops) for flops in over]
    losses = [float(found.law.loss(n, tokens)) for n, tokens in best]
    spread = np.array([[float(law.loss(n, tokens)) for n, tokens in best] for law in usable])
    low, high = np.quantile(spread, [0.025, 0.975], axis=0)
    return Curve("the law's best", over.tolist(), losses, "c", low.tolist(), high.tolist())


def _law(found: ScalingStudy) -> Html:
    formula = "loss = E + A / N^alpha + B / D^beta"
    rows = [
        (name.upper() if len(name) == 1 else name, _spread(one), MEANINGS[name])
        for name, one in found.coefficients().items()
    ]
    tested = None
    if (test := found.test) is not None:
        tested = p(
            f"The held-out model ({test.measured.rung.name}) was predicted to have {_spread(test.predicted)} nats per "
            f"token, and has {decimal(test.measured.loss)}: inside for {test.inside} of {SEEDS} seeds of the ",
            term("bootstrap"),
            ".",
        )
    about = p(
        code(formula),
        ", N a token's training FLOPs over 6 and D the tokens read (arXiv 2203.15556), fitted by variable projection. "
        f"A single model's loss is about {decimal(found.noise)} off.",
    )
    return join([about, tested, table(["", number("value and interval"), "meaning"], rows), _minima(found)])


def _minima(found: ScalingStudy) -> Html | None:
    """The isoFLOP parabolas' best sizes next to the law's."""
    rows = []
    for rungs in _by_budget(found).values():
        flops = float(np.mean([one.flops for one in rungs]))
        bent = parabola([one.rung.n for one in rungs], [one.loss for one in rungs])
        least = short(float(np.exp(-bent[1] / 2 / bent[2]))) if bent else "none"
        law = short(found.law.optimum(flops)[0]) if found.law.has_optimum else "none"
        rows.append((f"{flops:.2g}", law, least))
    note = p(
        "A parabola through a budget's models is the older way (approach 2), and biased where the best size is not "
        "near the middle (arXiv 2603.22339); it is here to look at.",
        class_="note",
    )
    return join([table([number("FLOPs"), number("best N by the law"), number("by a parabola")], rows), note])


def _rungs(found: ScalingStudy) -> Html:
    rows = [_row(found, one) for one in found.rungs]
    if found.test:
        rows.append(_row(found, found.test.measured, "held-out"))
    numbers = ("N", "tokens", "epochs", "FLOPs", "time", "loss", "less the law")
    return table(["size", *map(number, numbers)], rows)


def _row(found: ScalingStudy, one: MeasuredRung, note: str = "") -> tuple[object, ...]:
    rung: Rung = one.rung
    expected = float(found.law.loss(rung.n, one.tokens))
    size = join([rung.size, tag("small", f" {note}") if note else None])
    return (
        size,
        short(rung.n),
        count(one.tokens),
        f"{one.epochs:.2f}",
        f"{one.flops:.2g}",
        duration(one.seconds),
        decimal(one.loss),
        f"{one.loss - expected:+.3f}".replace("-", "\u2212"),
    )


def _spread(one: Spread) -> str:
    return f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"


def _by_budget(found: ScalingStudy) -> dict[int, list[MeasuredRung]]:
    budgets: dict[int, list[MeasuredRung]] = {}
    for one in found.rungs:
        budgets.setdefault(one.rung.budget, []).append(one)
    return {budget: sorted(rungs, key=lambda one: one.rung.n) for budget, rungs in budgets.items()}
