"""KTO on single answers: what a batch holds, what the loss is, and where it moves the policy."""

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer, collate, summed_log_probabilities
from groundup.alignment.labelled import LabelledObjective, labels_of

PAD = 56
ANSWERS = [Answer([index, 3], [20 + index, 30 + index % 3, 60]) for index in range(8)]
EXAMPLES = [(answer, index < 2) for index, answer in enumerate(ANSWERS)]  # two good, six bad


def objective(batch: int = 8, accumulate: int = 1) -> LabelledObjective:
    drawing = {"batch": batch, "accumulate": accumulate, "pad": PAD, "seed": 3}
    return LabelledObjective(EXAMPLES, EXAMPLES, tiny.model(9), beta=0.1, **drawing)


def test_a_batch_has_each_prompt_twice() -> None:
    """With its own answer, and with that of another example."""
    (batch,) = objective().batches(0)
    prompts, own, others = batch.answers.ids_BT[:, :2], batch.answers.ids_BT[:, 2:5], batch.mismatched.ids_BT[:, 2:5]
    assert torch.equal(prompts, batch.mismatched.ids_BT[:, :2])
    assert not (own == others).all(1).any() and sorted(own.tolist()) == sorted(others.tolist())
    assert batch.good_B.tolist() == [row[0] < 2 for row in prompts.tolist()]


def test_the_loss_is_the_papers() -> None:
    """1 - sigmoid(+-beta (gain - z)), z the mean gain of mismatched answers, at least 0; both kinds weigh the same."""
    made, one = tiny.model(4), objective()
    (batch,) = one.batches(0)
    with torch.no_grad():
        gain_B, other_B = (
            summed_log_probabilities(made, side) - summed_log_probabilities(tiny.model(9), side)
            for side in (batch.answers, batch.mismatched)
        )
    z = max(0.0, float(other_B.mean()))
    expected = sum(
        (8 / (2 * (2 if good else 6))) * (1 - torch.sigmoid(0.1 * (1 if good else -1) * (gain - z)))
        for gain, good in zip(gain_B, batch.good_B.tolist(), strict=True)
    )
    loss, watched = one.loss(made, batch)
    assert loss.item() == pytest.approx(float(expected), rel=1e-5) and one.weight(batch) == 8
    assert float(watched["baseline"]) == pytest.approx(8 * z, abs=1e-4)
    assert float(watched["chosen_gain"]) / 8 == pytest.approx(float(gain_B[batch.good_B].mean()), rel=1e-4)


def test_at_the_start_half_is_lost() -> None:
    loss, _ = objective().loss(tiny.model(9), objective().batches(0)[0])
    assert loss.item() / 8 == pytest.approx(0.5, rel=1e-6)


def test_training_separates_good_from_bad() -> None:
    made, one = tiny.model(9), objective()
    engine = tiny.engine(made, weight_decay=0)
    for step in range(60):
        batches = one.batches(step)
        engine.train_step(batches, [8], one.loss, 3e-3, 1.0)
    assert one.validate(engine)["heldout_accuracy"] == 1.0
    with torch.no_grad():
        batch = collate(ANSWERS, PAD)
        gain_B = summed_log_probabilities(made, batch) - summed_log_probabilities(tiny.model(9), batch)
    assert gain_B[:2].min() > 0 > gain_B[2:].max()


def test_pairs_are_a_good_and_a_bad_answer() -> None:
    assert labels_of([(ANSWERS[0], ANSWERS[1])]) == [(ANSWERS[0], True), (ANSWERS[1], False)]
