"""A reward model is judged on the policy's own answers, next to what costs nothing; a useless one is refused."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import tensor

import tiny
from groundup.alignment import policy_stage
from groundup.alignment.answers import Answer, collate, log_probabilities
from groundup.alignment.configuration import PpoConfig
from groundup.alignment.reward_controls import accuracy, calibration_error, free_scores, judged
from groundup.errors import GroundupError
from groundup.parallel.engine import ModelOnDevice


def test_what_costs_nothing() -> None:
    made = ModelOnDevice(tiny.model(), torch.device("cpu"), "fp32")
    pairs = [(Answer([1, 2], [3, 4, 5]), Answer([1, 2], [6])), (Answer([9], [8, 7]), Answer([9], [7, 8, 9, 10]))]
    found = free_scores(made, pairs, 56)
    for column, pair in enumerate(pairs):
        for row, answer in enumerate(pair):
            with torch.no_grad():
                alone = log_probabilities(made.model, collate([answer], 56))[0]
            assert float(found["log_probability"][row, column]) == pytest.approx(float(alone.sum()), abs=1e-4)
            assert float(found["mean_log_probability"][row, column]) == pytest.approx(float(alone.mean()), abs=1e-4)
            assert float(found["longer"][row, column]) == len(answer.answer)


def test_accuracy_and_its_interval() -> None:
    """Ties count half; Wilson's interval of 8 in 10 is .490 to .943."""
    scores = torch.stack((tensor([1.0] * 8 + [0.0] * 2), torch.full((10,), 0.5)))
    found = accuracy(scores)
    assert found["accuracy"] == 0.8
    assert (found["low"], found["high"]) == (pytest.approx(0.4902, abs=1e-3), pytest.approx(0.9433, abs=1e-3))
    assert accuracy(torch.zeros(2, 4))["accuracy"] == 0.5
    assert math.isnan(accuracy(torch.zeros(2, 0))["accuracy"])


def test_calibration() -> None:
    """A model that says .75 and is right in 3 of 4 is calibrated; one that says .99 there is not."""
    right = tensor([1.0, 1.0, 1.0, -1.0])
    assert calibration_error(torch.stack((right * math.log(3), torch.zeros(4)))) == pytest.approx(0, abs=1e-6)
    assert calibration_error(torch.stack((right * math.log(99), torch.zeros(4)))) == pytest.approx(0.24, abs=1e-6)


def test_the_judgement() -> None:
    """Better than every baseline or not; nothing is concluded from few pairs; a score that follows length shows."""
    length = torch.linspace(-2, 2, 60)
    good, nothing = torch.stack((torch.ones(60), torch.zeros(60))), torch.zeros(2, 60)
    by_length = torch.stack((length, torch.zeros(60)))
    free = {"log_probability": nothing, "mean_log_probability": nothing, "longer": by_length}
    found = judged(good, free, ["a"] * 20 + ["b"] * 40)
    assert found["better"] is True
    assert found["by_category"]["b"]["pairs"] == 40
    assert found["length_correlation"] == 0
    worse = judged(by_length * 3, free | {"log_probability": good})
    assert worse["better"] is False
    assert worse["length_correlation"] == pytest.approx(1)
    few = judged(good[:, :40], {name: x[:, :40] for name, x in free.items()})
    assert few["better"] is None


def test_a_reward_model_that_is_no_better_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is sampled, and with all figures; `weak_reward: use` continues."""
    free = {name: {"accuracy": 0.9} for name in ("log_probability", "mean_log_probability", "longer")}
    own = {"better": False, "pairs": 80, "reward": {"accuracy": 0.88}, "free": free}
    inputs: dict[str, Any] = {"reward": SimpleNamespace(figures={"own_answers": own})}
    training: Any = SimpleNamespace(title="ppo")
    with pytest.raises(GroundupError, match=r"88\.0% of 80 pairs.*90\.0%"):
        policy_stage._train_on_reward(training, PpoConfig(learning_rate=1e-4), inputs, training)

    class ContinuedError(Exception):
        pass

    def continues(*given: Any) -> None:
        raise ContinuedError

    monkeypatch.setattr(policy_stage, "reward_of", continues)
    for config, judgement in ((PpoConfig(learning_rate=1e-4, weak_reward="use"), False), (PpoConfig(), None)):
        own["better"] = judgement
        with pytest.raises(ContinuedError):
            policy_stage._train_on_reward(training, config, inputs, training)
