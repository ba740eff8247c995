"""A budget as a person has it (FLOPs, hours, money), and what a ladder says to do with it, as sentences."""

from dataclasses import dataclass

from groundup.errors import GroundupError
from groundup.planning.advice import MAX_EPOCHS, short
from groundup.planning.devices import DEVICES, device_of
from groundup.planning.ladder import LadderSections, multiplied, pretraining_flops, size_for
from groundup.planning.machine import measure
from groundup.planning.scaling import FLOPS_PER_PARAMETER_TOKEN
from groundup.planning.size import llm_config
from groundup.planning.study import SEEDS, Recommendation, ScalingStudy, recommend

UNSURE = 30  # times the low end of the size's interval, at its high end: nothing is recommended
FAR = 100  # times the largest rung: beyond, an extrapolation is named one


@dataclass(frozen=True)
class Budget:
    """At most one of FLOPs, hours and money; nothing: what the blueprint's own pretraining takes."""

    flops: float | None = None
    hours: float | None = None
    money: float | None = None
    price: float | None = None
    """Of one device per hour."""
    device: str | None = None
    """By name; None: this machine, at the speed of the ladder's largest model."""
    devices: int = 1

    def check(self) -> None:
        """Raises GroundupError where it is given twice, can't be turned into FLOPs, or the device is unknown."""
        if sum(one is not None for one in (self.flops, self.hours, self.money)) > 1:
            raise GroundupError("give the budget once", where="--flops, --hours, --money", do="choose one of them")
        if self.money is not None and not self.price:
            raise GroundupError("money needs a price", where="--money", do="add --price, of one device per hour")
        if self.device is not None and self.device.lower() not in DEVICES:
            device_of(self.device, measure())

    def flops_with(self, found: ScalingStudy, otherwise: float) -> float:
        """In FLOPs; `otherwise` where nothing is given."""
        if self.flops is not None:
            return self.flops
        if self.money is not None:
            assert self.price
            return self.money / self.price * 3600 * self._rate(found)
        if self.hours is not None:
            return self.hours * self.devices * 3600 * self._rate(found)
        return otherwise

    def _rate(self, found: ScalingStudy) -> float:
        """FLOP/s of one device."""
        if self.device is None:
            one = found.test.measured if found.test else found.rungs[-1]
            return one.flops / one.seconds
        device = device_of(self.device, measure())
        return device.flops * device.mfu


def verdict(found: ScalingStudy) -> list[str]:
    """What the fit found, and whether it predicts the held-out model."""
    of = found.coefficients()
    law = (
        f"loss = {of['e'].value:.3g} + {of['a'].value:.3g} / N^{of['alpha'].value:.3f} + {of['b'].value:.3g} / "
        f"D^{of['beta'].value:.3f}"
    )
    by = ", ".join(
        f"{name} {one.low:.2g} to {one.high:.2g}"
        for name, one in of.items()
        if name in ("e", "alpha", "beta", "exponent")
    )
    lines = [
        f"{law} nats per token (N a token's FLOPs over 6, D tokens); a single model is {found.noise:.3f} off",
        f"95 % intervals: {by}; the best size grows as C^{of['exponent'].value:.2f}",
    ]
    if (test := found.test) is not None:
        inside = "inside" if test.inside > SEEDS / 2 else "outside"
        lines.append(
            f"held-out model ({test.measured.rung.name}): predicted {test.predicted.value:.3f} "
            f"[{test.predicted.low:.3f}, {test.predicted.high:.3f}], measured {test.measured.loss:.3f}: {inside} the "
            f"interval, for {test.inside} of {SEEDS} seeds of the bootstrap"
        )
    return lines


def advised(
    found: ScalingStudy, blueprint: LadderSections, budget: Budget, corpus_tokens: int
) -> tuple[Recommendation | None, list[str], dict[str, str]]:
    """(the best use of the budget, what to say of it, the blueprint's values for it).

    Args:
        corpus_tokens: of the training documents, once through.
    """
    own = pretraining_flops(blueprint)
    flops = budget.flops_with(found, own)
    best = recommend(found, flops)
    if best is None:
        missing = "size" if found.law.a == 0 else "text"
        return None, [f"in these rungs more {missing} does not lower the loss, so no size can be recommended"], {}
    name, model = size_for(blueprint, best.n.value)
    largest = max(one.flops for one in found.rungs)
    lines = [
        f"for {flops:.3g} FLOPs: about {short(model.num_parameters)} parameters (N {short(best.n.low)} to "
        f"{short(best.n.high)}) on {short(best.tokens.value)} tokens ({short(best.tokens.low)} to "
        f"{short(best.tokens.high)}), a loss of about {best.loss.value:.3f} [{best.loss.low:.3f}, {best.loss.high:.3f}]"
    ]
    if flops > FAR * largest:
        lines.append(
            f"that is {flops / largest:,.0f} times the ladder's largest budget: an extrapolation; see more rungs first"
        )
    if (epochs := best.tokens.value / corpus_tokens) > MAX_EPOCHS:
        lines.append(
            f"the corpus has {short(corpus_tokens)} tokens, which would be read {epochs:.0f} times; beyond "
            f"{MAX_EPOCHS} times it teaches less than this law says (arXiv 2305.16264): add documents, or train a "
            "larger model on less"
        )
    if found.undecided > 0.05:
        lines.append(f"in {found.undecided:.0%} of the bootstrap's fits size or text has no effect: widen the ladder")
    lines += _own(found, blueprint, own, best, flops)
    if best.n.high > UNSURE * best.n.low:
        lines.append("the best size is too uncertain to put into a blueprint: give the ladder more scale.flops")
        return best, lines, {}
    return best, lines, {"size": name, "pretrain.tokens": f"{round_tokens(best.tokens.value):_}"}


def round_tokens(tokens: float) -> int:
    """To two digits: the interval is wider."""
    return int(float(f"{tokens:.1e}"))


def _own(found: ScalingStudy, blueprint: LadderSections, own: float, best: Recommendation, flops: float) -> list[str]:
    """What the blueprint's own size and tokens would come to, where its compute is the budget."""
    if abs(flops / own - 1) > 0.01:
        return []
    n = multiplied(llm_config(blueprint, blueprint.tokenizer.vocabulary), blueprint.pretrain.sequence)
    tokens = own / FLOPS_PER_PARAMETER_TOKEN / n
    loss = float(found.law.loss(n, tokens))
    less = loss - best.loss.value
    return [f"the blueprint's own {blueprint.size} on {short(tokens)} tokens: about {loss:.3f} ({less:+.3f})"]
