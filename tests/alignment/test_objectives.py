"""SFT, reward and DPO as the training loop sees them: what is drawn when, what is trained, and that accumulation,
padding and the order of rows change nothing."""

import math

import pytest
import torch
import torch.nn.functional as F

import tiny
from groundup.alignment.answers import Answer, AnswerBatch, collate, summed_log_probabilities
from groundup.alignment.losses import bradley_terry
from groundup.alignment.preference import PreferenceObjective
from groundup.alignment.rankings import RankingBatch, ranked
from groundup.alignment.reward import RewardModel, RewardObjective, score_pairs
from groundup.alignment.sft import Lesson, SftObjective
from groundup.training.objective import Objective

PAD = 56


def answers(count: int, seed: int = 0) -> list[Answer]:
    """Prompts of 1 to 6 tokens, answers of 1 to 9; the first prompt token distinguishes them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    return [
        Answer([index % 56, *(draw(0, 56) for _ in range(draw(0, 6)))], [*(draw(0, 56) for _ in range(draw(0, 9))), 60])
        for index in range(count)
    ]


PAIRS = list(zip(answers(12, 1), answers(12, 2), strict=True))


def sft(
    lessons: list[Lesson], batch: int = 4, accumulate: int = 1, validation: list[Answer] | None = None
) -> SftObjective:
    return SftObjective(lessons, validation or [], batch=batch, accumulate=accumulate, pad=PAD, seed=3)


def reward(batch: int = 4, accumulate: int = 1, centering: float = 0.01) -> RewardObjective:
    drawing = {"batch": batch, "accumulate": accumulate, "pad": PAD, "seed": 3}
    return RewardObjective(ranked((pair, None) for pair in PAIRS), PAIRS, centering=centering, **drawing)


def dpo(batch: int = 4, accumulate: int = 1, smoothing: float = 0.0) -> PreferenceObjective:
    given = {"beta": 0.1, "label_smoothing": smoothing, "pad": PAD, "seed": 3}
    known = tiny.referred(PAIRS, tiny.model(9), PAD)
    return PreferenceObjective(known, known, batch=batch, accumulate=accumulate, **given)


def taught(batches: list[AnswerBatch | RankingBatch]) -> list[tuple[int, ...]]:
    """The rows of batches without their padding."""
    return [
        tuple(row[: int(answer.nonzero().max()) + 1].tolist())
        for batch in (one.answers if isinstance(one, RankingBatch) else one for one in batches)
        for row, answer in zip(batch.ids_BT, batch.answer_BT, strict=True)
    ]


def test_sft_trains_the_answer_and_its_stop_token_and_nothing_else() -> None:
    """The loss moves with the features before answer tokens alone, by softmax minus one-hot (its derivative) times the
    head's matrix."""
    made, one = tiny.model(), Answer([1, 2, 3], [4, 5, 60])
    objective = sft([Lesson([one])], batch=1)
    (batch,) = objective.batches(0)
    assert objective.weight(batch) == 3
    seen = {}

    def keep(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> None:
        output.retain_grad()
        seen["features"] = output

    made.model.register_forward_hook(keep)
    loss, _ = objective.loss(made, batch)
    loss.backward()
    (gradient,) = seen["features"].grad
    logits = made(torch.tensor([[1, 2, 3, 4, 5]]))[0][0].detach()
    assert loss.item() == pytest.approx(float(F.cross_entropy(logits[2:], torch.tensor([4, 5, 60]), reduction="sum")))
    expected = logits[2:].softmax(-1) - F.one_hot(torch.tensor([4, 5, 60]), 61)
    assert torch.allclose(gradient[2:5], expected @ made.lm_head.weight, atol=1e-5)
    assert not gradient[:2].any() and not gradient[5:].any()


def test_an_epoch_asks_each_lesson_once_in_turning_phrasings() -> None:
    lessons = [Lesson([Answer([lesson, phrasing], [60]) for phrasing in range(3)]) for lesson in range(16)]
    objective = sft(lessons, batch=2)
    epochs = [
        taught([b for step in range(epoch * 8, epoch * 8 + 8) for b in objective.batches(step)]) for epoch in range(6)
    ]
    for rows in epochs:
        assert sorted(lesson for lesson, _, _ in rows) == list(range(16))
    assert epochs[0] != epochs[1]
    for lesson in range(16):
        asked = [next(phrasing for index, phrasing, _ in rows if index == lesson) for rows in epochs]
        assert sorted(asked[:3]) == [0, 1, 2]
        assert asked[3:] == asked[:3]


@pytest.mark.parametrize("objective", [sft([Lesson([one]) for one in answers(13)], 2, 2), reward(2, 2), dpo(2, 2)])
def test_a_step_s_batch_is_a_function_of_the_step(objective: Objective) -> None:
    """Whatever was asked for before: a resumed run sees what the uninterrupted one did."""
    in_order = [taught(list(objective.batches(step))) for step in range(20)]
    for step in (19, 0, 8, 7, 15, 16, 3):
        assert taught(list(objective.batches(step))) == in_order[step]
    assert len({tuple(rows) for rows in in_order}) > 15


def test_batches_of_like_lengths_save_padding() -> None:
    lessons = [Lesson([Answer([1] * length, [60])]) for length in range(1, 65) for _ in range(4)]
    objective = sft(lessons, batch=8)
    grouped = sum(batch.ids_BT.numel() for step in range(32) for batch in objective.batches(step))
    real = 4 * sum(range(2, 66))
    rounding = 8 * 256  # each row's width, up to the next eight
    assert grouped < 1.15 * real + rounding


OBJECTIVES = {
    "sft": (lambda parts: sft([Lesson([one]) for one in answers(24)], 12, parts), tiny.model),
    "reward": (lambda parts: reward(12, parts), lambda: RewardModel(tiny.model())),
    "dpo": (lambda parts: dpo(12, parts, smoothing=0.1), tiny.model),
}


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("parts", [2, 5, 12])
def test_accumulation_is_one_large_batch(name: str, parts: int) -> None:
    """Also where the micro-batches hold unequal numbers of tokens: the step divides by the tokens of all."""
    make, build = OBJECTIVES[name]
    whole, split = tiny.engine(build()), tiny.engine(build())
    results = []
    for engine, objective in ((whole, make(1)), (split, make(parts))):
        batches = objective.batches(0)
        weights = [objective.weight(batch) for batch in batches]
        results.append(engine.train_step(batches, weights, objective.loss, 1e-3, 1.0))
    assert len(make(parts).batches(0)) == parts
    if name == "sft":
        assert len({objective.weight(batch) for batch in make(parts).batches(0)}) > 1
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-5)
    assert results[0].gradient_norm == pytest.approx(results[1].gradient_norm, rel=1e-4)
    assert results[0].statistics == pytest.approx(results[1].statistics, rel=1e-4, abs=1e-5)
    moved = zip(whole.model.parameters(), split.model.parameters(), strict=True)
    assert max(float((a - b).detach().abs().max()) for a, b in moved) < 1e-4


def test_the_reward_loss() -> None:
    """Bradley-Terry and the pull to 0, on scores of each answer alone."""
    made, objective = RewardModel(tiny.model()), reward(batch=3, centering=0.5)
    (batch,) = objective.batches(0)
    with torch.no_grad():
        loss, watch = objective.loss(made, batch)
        scores = made.scores(batch.answers)
    chosen, rejected = scores[:3], scores[3:]
    expected = bradley_terry(chosen, rejected) + 0.5 * (chosen + rejected) ** 2
    assert loss.item() == pytest.approx(float(expected.sum()), rel=1e-6)
    assert watch["accuracy"] == (chosen > rejected).sum()
    assert objective.weight(batch) == 3
    rows = taught([batch])
    assert [tuple(a.prompt + a.answer) for a, _ in PAIRS].count(rows[0]) == 1
    for better, worse in zip(rows[:3], rows[3:], strict=True):
        assert (better, worse) in [(tuple(a.prompt + a.answer), tuple(b.prompt + b.answer)) for a, b in PAIRS]


def test_equal_answers_cost_ln_2() -> None:
    same = [(one, one) for one in answers(4)]
    with torch.no_grad():
        objective = reward(centering=0)
        batch = objective.collated(ranked((pair, None) for pair in same))
        loss, _ = objective.loss(RewardModel(tiny.model()), batch)
    assert loss.item() == pytest.approx(4 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_dpo_starts_at_ln_2(smoothing: float) -> None:
    objective = dpo(smoothing=smoothing)
    (batch,) = objective.batches(0)
    with torch.no_grad():
        loss, watch = objective.loss(tiny.model(9), batch)
    assert loss.item() == pytest.approx(4 * math.log(2), rel=1e-6)
    assert [float(watch[gain]) for gain in ("chosen_gain", "rejected_gain")] == pytest.approx([0, 0], abs=1e-4)


def margins(policy: torch.nn.Module) -> torch.Tensor:
    """By how much more the chosen answer of each pair has gained than the rejected one, each answer alone."""
    with torch.no_grad():
        gained = [
            float(summed_log_probabilities(policy, batch) - summed_log_probabilities(tiny.model(9), batch))
            for batch in (collate([answer], PAD) for pair in PAIRS for answer in pair)
        ]
    gained_P2 = torch.tensor(gained).view(-1, 2)
    return gained_P2[:, 0] - gained_P2[:, 1]


def test_the_dpo_loss() -> None:
    """From the formula, on log-probabilities of each answer alone."""
    objective, policy = dpo(batch=3), tiny.model(4)
    (batch,) = objective.batches(0)
    loss, watch = objective.loss(policy, batch)
    with torch.no_grad():
        moved = summed_log_probabilities(policy, batch) - summed_log_probabilities(tiny.model(9), batch)
        delta = 0.1 * (moved[:3] - moved[3:])
    assert loss.item() == pytest.approx(float(-F.logsigmoid(delta).sum()), rel=1e-5)
    assert objective.weight(batch) == 3
    assert float(watch["accuracy"]) == (delta > 0).sum()
    assert float(watch["chosen_gain"]) == pytest.approx(float(moved[:3].sum()), rel=1e-5)
    loss.backward()
    assert tiny.gradients(policy)


def test_validation_figures() -> None:
    """Over all held-out rows, whatever the batches they are read in."""
    validation = answers(70, seed=5)  # more than are read at once
    engine = tiny.engine(tiny.model())
    found = sft([Lesson([validation[0]])], validation=validation).validate(engine)
    with torch.no_grad():
        nats = sum(
            -float(summed_log_probabilities(engine.model, sft([Lesson([one])], 1).batches(0)[0])) for one in validation
        )
    assert found == {"heldout_loss": pytest.approx(nats / sum(len(one.answer) for one in validation), rel=1e-4)}
    scorer = tiny.engine(RewardModel(tiny.model()))
    chosen, rejected = score_pairs(scorer, PAIRS, PAD)
    assert reward().validate(scorer) == {"heldout_accuracy": pytest.approx(float((chosen > rejected).float().mean()))}
    moved = {"heldout_accuracy": pytest.approx(float((margins(tiny.model(4)) > 0).float().mean()))}
    assert dpo().validate(tiny.engine(tiny.model(4))) == moved
    assert dpo().validate(tiny.engine(tiny.model(9))) == {"heldout_accuracy": 0.0}  # nothing has moved yet
    for empty in (sft([Lesson([validation[0]])]),):
        assert empty.validate(engine) == {}
