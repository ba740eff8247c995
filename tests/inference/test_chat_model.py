"""What a chat streams: whole characters, the text of the answer, why it ended and how many tokens it took."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.errors import GroundupError
from groundup.inference import engine as engine_module
from groundup.inference.chat_model import AnswerStream, ChatModel, load
from groundup.inference.continuation import continue_prompts
from groundup.inference.loading import CARD as CARD_FILE
from groundup.inference.loading import LoadedModel
from groundup.inference.sampling import Sampling
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import save_huggingface
from groundup.tokenizer.chat import render

TOKENIZER = tiny.tokenizer()
CARD = {"name": "tiny", "subjects": ["os"], "examples": ["What?"], "introduction": "Little.", "turns": 2}


def chat_model(made: CustomLanguageModel, turns: int = 2) -> ChatModel:
    return ChatModel(LoadedModel("tiny", made.eval(), TOKENIZER, frozenset({TOKENIZER.end}), one_turn=turns == 1))


ASKED = [{"role": "user", "content": "What does os.path.join do?"}]


@pytest.fixture(scope="module")
def chat() -> ChatModel:
    made = tiny.model(
        seed=1, vocab_size=TOKENIZER.vocabulary_size, tie_word_embeddings=False, max_position_embeddings=64
    )
    return chat_model(made)


def says(tokens: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> ChatModel:
    """A chat whose model gives these tokens."""
    given_tokens = iter(tokens)
    monkeypatch.setattr(engine_module, "choose", lambda *_: [next(given_tokens)])
    shape = tiny.shape(vocab_size=TOKENIZER.vocabulary_size, max_position_embeddings=2048)
    return chat_model(CustomLanguageModel(shape))


def outcome(answer: AnswerStream) -> tuple[str, str, int]:
    text = "".join(answer)
    return text, answer.finish_reason, answer.completion_tokens


def test_the_answer_is_the_model_s(chat: ChatModel) -> None:
    prompt, _ = render(ASKED, TOKENIZER, answer_prompt=True)
    (expected,) = continue_prompts(chat.model, [prompt], stop={TOKENIZER.end}, max_tokens=12)
    answer = chat.stream(ASKED, max_tokens=12)
    assert answer.prompt_tokens == len(prompt)
    assert outcome(answer) == (TOKENIZER.decode(expected.tokens, skip_special=True), "length", 12)
    assert len(expected.tokens) == 12


def test_sampling_is_passed_on(chat: ChatModel) -> None:
    prompt, _ = render(ASKED, TOKENIZER, answer_prompt=True)
    (expected,) = continue_prompts(
        chat.model, [prompt], stop={TOKENIZER.end}, max_tokens=12, sampling=Sampling(0.9, 0.8), seeds=[7]
    )
    answer = chat.stream(ASKED, max_tokens=12, temperature=0.9, top_p=0.8, seed=7)
    assert "".join(answer) == TOKENIZER.decode(expected.tokens, skip_special=True)
    free = {"".join(chat.stream(ASKED, max_tokens=12, temperature=1.5)) for _ in range(4)}
    assert len(free) > 1  # without a seed, fresh randomness


def test_the_stop_token_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = TOKENIZER.encode("So it is.")
    assert outcome(says([*ids, TOKENIZER.end, *ids], monkeypatch).stream(ASKED)) == ("So it is.", "stop", len(ids) + 1)
    assert outcome(says([TOKENIZER.end], monkeypatch).stream(ASKED)) == ("", "stop", 1)


def test_a_limit_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = says(TOKENIZER.encode("abcdefgh"), monkeypatch).stream(ASKED, max_tokens=3)
    assert outcome(answer) == ("abc", "length", 3)


@given(text=st.text(min_size=1))
def test_characters_are_never_split(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        answer = says([*TOKENIZER.encode(text), TOKENIZER.end], patch).stream(ASKED, max_tokens=10_000)
        pieces = list(answer)
    assert "".join(pieces) == text
    assert all(pieces)
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_half_a_character_at_the_end_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = TOKENIZER.encode("a🙂")
    assert outcome(says(ids, monkeypatch).stream(ASKED, max_tokens=3)) == ("a\N{REPLACEMENT CHARACTER}", "length", 3)
    ended = says([*ids[:3], TOKENIZER.end], monkeypatch).stream(ASKED)
    assert outcome(ended) == ("a\N{REPLACEMENT CHARACTER}", "stop", 4)


def test_other_special_tokens_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [*TOKENIZER.encode("a"), TOKENIZER.user, *TOKENIZER.encode("b"), TOKENIZER.end]
    assert outcome(says(tokens, monkeypatch).stream(ASKED)) == ("ab", "stop", 4)


def test_a_listener_can_stop_it(chat: ChatModel) -> None:
    """It is asked after every token."""
    asked = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == 4

    answer = chat.stream(ASKED, max_tokens=30, stop=stop)
    text, reason, tokens = outcome(answer)
    assert (reason, tokens, len(asked)) == ("length", 4, 4)
    assert "".join(chat.stream(ASKED, max_tokens=30)).startswith(text.rstrip("\N{REPLACEMENT CHARACTER}"))


def test_a_model_of_one_turn_is_shown_the_last_message(chat: ChatModel) -> None:
    talk = [*ASKED, {"role": "assistant", "content": "It joins."}, {"role": "user", "content": "And abs?"}]
    alone, _ = render(talk[-1:], TOKENIZER, answer_prompt=True)
    whole, _ = render(talk, TOKENIZER, answer_prompt=True)
    assert chat.stream(talk).prompt_tokens == len(whole)
    one_turn = chat_model(chat.model, turns=1)
    assert one_turn.stream(talk).prompt_tokens == len(alone)
    assert "".join(one_turn.stream(talk, max_tokens=5)) == "".join(chat.stream(talk[-1:], max_tokens=5))


def test_messages_that_are_none_are_refused(chat: ChatModel) -> None:
    with pytest.raises(GroundupError, match="role is 'robot'"):
        chat.stream([{"role": "robot", "content": "x"}])


def test_whoever_stops_listening_frees_the_slot(chat: ChatModel) -> None:
    pieces = iter(chat.stream(ASKED, max_tokens=30))
    next(pieces)
    assert chat.engine.busy
    pieces.close()  # type: ignore[attr-defined]
    assert not chat.engine.busy


def test_several_are_answered_together(chat: ChatModel) -> None:
    questions = [[{"role": "user", "content": f"What does {name} do?"}] for name in ("abs", "os", "json.dumps")]
    alone = ["".join(chat.stream(question, max_tokens=9)) for question in questions]
    answers = [chat.answer(chat.prompt(question), max_tokens=9) for question in questions]
    pieces = ["", "", ""]
    while chat.engine.busy:
        chat.engine.step()
        pieces = [text + answer.take() for text, answer in zip(pieces, answers, strict=True)]
    assert pieces == alone


def test_a_run_s_model_is_loaded_and_asked(chat: ChatModel, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "model"
    save_huggingface(folder, chat.model, "float32")
    TOKENIZER.save(folder / "tokenizer.json")
    (folder / CARD_FILE).write_text(json.dumps(CARD), encoding="utf-8")
    for path in (tmp_path / "run", folder):
        made = load(path)
        assert (
            made.chat("What?", max_tokens=5)
            == chat.chat("What?", max_tokens=5)
            == "".join(made.pieces("What?", max_tokens=5))
        )


def test_messages_are_made_uniform_as_the_training_data_was(chat: ChatModel) -> None:
    typed = chat.prompt([{"role": "user", "content": "Cafe\u0301?\r\nNow."}])
    assert typed == chat.prompt([{"role": "user", "content": "Caf\u00e9?\nNow."}])
