"""A padded batch says what each row says on its own, and exactly the answer with its stop token is trained."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.alignment.answers import Answer, collate, log_probabilities, summed_log_probabilities
from groundup.alignment.critic import ScalarModel
from groundup.alignment.reward import RewardModel
from groundup.errors import GroundupError
from groundup.model.inputs import DecoderInputs

PAD = 56
ANSWERS = [
    Answer([1, 2, 3], [4, 5, 6, 60]),
    Answer([7], [8, 60]),
    Answer([9, 10, 11, 12, 13, 14], [60]),
    Answer([3, 3], [5, 5, 5, 5, 5, 5, 5, 60]),
]
token = st.integers(0, 60)
answer = st.builds(Answer, st.lists(token, min_size=1, max_size=9), st.lists(token, min_size=1, max_size=9))


def reward_model(seed: int = 0) -> RewardModel:
    return RewardModel(tiny.model(seed))


def critic(seed: int = 0) -> ScalarModel:
    made = ScalarModel(tiny.model(seed))
    with torch.no_grad():
        made.score.weight.normal_(generator=torch.Generator().manual_seed(seed))
    return made


def test_rows_are_prompt_answer_padding() -> None:
    batch = collate(ANSWERS[:2], PAD)
    assert batch.ids_BT.tolist() == [[1, 2, 3, 4, 5, 6, 60, PAD], [7, 8, 60, *[PAD] * 5]]
    assert batch.answer_BT.int().tolist() == [[0, 0, 0, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0, 0, 0]]
    assert batch.mask_BR.int().tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.tokens == 6
    assert batch.rows(torch.arange(1, 7)).tolist() == [[1, 2, 3, 4], [5, 6, 0, 0]]


@settings(max_examples=15, deadline=None)
@given(st.lists(answer, min_size=1, max_size=5))
def test_log_probabilities_are_those_of_the_whole_model(answers: list[Answer]) -> None:
    """Each token's, from a forward pass of its row alone; entropy by its definition."""
    made = tiny.model()
    with torch.no_grad():
        for temperature in (1.0, 0.7):
            found, entropy = log_probabilities(made, collate(answers, PAD), temperature)
            expected, expected_entropy = [], []
            for one in answers:
                logits = made(torch.tensor([one.prompt + one.answer]))[0][0] / temperature
                for index, chosen in enumerate(one.answer, len(one.prompt)):
                    logp = logits[index - 1] - logits[index - 1].logsumexp(0)
                    expected.append(logp[chosen])
                    expected_entropy.append(-(logp.exp() * logp).sum())
            assert torch.allclose(found, torch.stack(expected), atol=1e-4)
            assert torch.allclose(entropy, torch.stack(expected_entropy), atol=1e-4)
        one_by_one = [summed_log_probabilities(made, collate([one], PAD)) for one in answers]
        assert torch.allclose(summed_log_probabilities(made, collate(answers, PAD)), torch.cat(one_by_one), atol=1e-4)


def test_padded_gradients_are_the_sum_of_the_rows() -> None:
    together, apart = tiny.model(), tiny.model()
    summed_log_probabilities(together, collate(ANSWERS, PAD)).sum().backward()
    for one in ANSWERS:
        summed_log_probabilities(apart, collate([one], PAD)).sum().backward()
    assert tiny.same_gradients(together, apart)


def test_scores_do_not_see_padding() -> None:
    together, apart = reward_model(), reward_model()
    scores = together.scores(collate(ANSWERS, PAD))
    alone = torch.cat([apart.scores(collate([one], PAD)) for one in ANSWERS])
    assert torch.allclose(scores, alone, atol=1e-4)
    scores.square().sum().backward()
    alone.square().sum().backward()
    assert tiny.same_gradients(together, apart)


def test_values_do_not_see_padding() -> None:
    together, apart = critic(), critic()
    values = together.values(collate(ANSWERS, PAD))
    alone = torch.cat([apart.values(collate([one], PAD)) for one in ANSWERS])
    assert torch.allclose(values, alone, atol=1e-4)
    values.square().sum().backward()
    alone.square().sum().backward()
    assert tiny.same_gradients(together, apart)


def test_padding_has_no_meaning_of_its_own() -> None:
    """Not even when the padding token also occurs in a text."""
    made = reward_model()
    with torch.no_grad():
        expected = made.scores(collate(ANSWERS, PAD))
        for pad in (0, 5, 60):
            assert torch.allclose(made.scores(collate(ANSWERS, pad)), expected, atol=1e-4)


def test_the_score_is_read_at_the_last_answer_token() -> None:
    """And from the mean and the worst of the answer's nats, under the model's own head."""
    made = reward_model()
    with torch.no_grad():
        scores = made.scores(collate(ANSWERS, PAD))
        for row, one in enumerate(ANSWERS):
            features = made.language.features(DecoderInputs(torch.tensor([one.prompt + one.answer])))[0]
            logp = made.language.head(features).log_softmax(-1)
            nats = torch.stack([-logp[index - 1, t] for index, t in enumerate(one.answer, len(one.prompt))])
            surprise = made.surprise(torch.stack((nats.mean(), nats.max())))
            assert torch.allclose(scores[row], made.score(features[-1])[0] + surprise[0], atol=1e-4)


def test_the_value_of_a_token_is_read_before_it() -> None:
    made = critic()
    with torch.no_grad():
        values = made.values(collate(ANSWERS, PAD)).split([len(one.answer) for one in ANSWERS])
        for row, one in enumerate(ANSWERS):
            features = made.model(DecoderInputs(torch.tensor([one.prompt + one.answer])))[0]
            before = made.score(features[len(one.prompt) - 1 : -1])[:, 0]
            assert torch.allclose(values[row], before, atol=1e-4)


def test_scores_and_values_keep_their_precision_under_autocast() -> None:
    """The last matmul is float32: bf16 would give two answers that differ by a hair the same score."""
    batch = collate(ANSWERS, PAD)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for found in (reward_model().scores(batch), critic().values(batch)):
            assert found.dtype == torch.float32
            assert not torch.equal(found, found.bfloat16().float())


def test_a_new_critic_has_no_opinion() -> None:
    assert not ScalarModel(tiny.model()).values(collate(ANSWERS, PAD)).any()


def test_an_answer_without_a_token_names_its_row() -> None:
    with pytest.raises(GroundupError, match="example 1: the answer has no token"):
        collate([ANSWERS[0], Answer([1], [])], PAD)
    with pytest.raises(GroundupError, match="example 2: the prompt has no token"):
        collate([*ANSWERS[:2], Answer([], [1])], PAD)
