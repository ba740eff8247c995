"""A word is the same everywhere: between white space, or a letter of a script that puts none between words."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.duplicates.normal_form import normalised
from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.prose import prose_of
from groundup.corpus.filters.rules import judge
from groundup.corpus.filters.statistics import measure, measure_all
from groundup.corpus.words import split_words
from groundup.evaluation.checker import exact, token_f1
from made.languages import TEXTS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ein Satz, z.B. dieser.", ["Ein", "Satz,", "z.B.", "dieser."]),
        ("春天来了。 河边", ["春", "天", "来", "了。", "河", "边"]),
        ("用Python写「3行」", ["用", "Python", "写「", "3", "行」"]),
        ("かな、カナ", ["か", "な、", "カ", "ナ"]),
        ("มีเล่ม", ["มี", "เ", "ล่", "ม"]),
        ("도서관은 매일", ["도서관은", "매일"]),
        ("", []),
    ],
)
def test_words_of_scripts(text: str, words: list[str]) -> None:
    assert split_words(text) == [unicodedata.normalize("NFC", word) for word in words]
    assert measure(pa.array([unicodedata.normalize("NFC", text)])).column("words")[0].as_py() == len(words)


@given(st.text(alphabet="aB1 .,，。\n漢字かなกั가é"))  # noqa: RUF001
def test_statistics_count_these_words(text: str) -> None:
    words = split_words(text)
    assert measure(pa.array([unicodedata.normalize("NFC", text)])).column("words")[0].as_py() == len(words)
    without_signs = "".join(one if one.isalnum() or one.isspace() else "" for one in text)
    form = normalised(without_signs, digits_alike=False)
    assert len(split_words(form)) == len(form.split()), "a word of the normal form is a word"


def test_default_rules_keep_texts_in_every_language() -> None:
    texts = pa.array(list(TEXTS.values()), pa.large_string())
    verdicts = judge(measure_all(texts, prose_of(texts)), RulesConfig(language=None))
    assert dict(zip(TEXTS, verdicts.rule, strict=True)) == dict.fromkeys(TEXTS, "")


def test_f1_of_answers_in_chinese_is_by_letters_and_in_nfc() -> None:
    assert token_f1("图书馆九点开门", "图书馆八点开门") == pytest.approx(6 / 7)
    assert token_f1("cafe\u0301", "café") == 1
    assert exact("cafe\u0301 ", "café")


@pytest.mark.parametrize(("preset", "alike"), [("docs", False), ("code", False), ("c4", True), ("fineweb", True)])
def test_digits_are_alike_with_presets_for_the_web_alone(preset: str, alike: bool) -> None:
    config = CurateConfig.model_validate({"sources": [{"kind": "python-docs"}], "rules": {"preset": preset}})
    assert config.near_duplicates.digits_alike is alike
    for own in (True, False):
        values = {"rules": {"preset": preset}, "near_duplicates": {"digits_alike": own}}
        config = CurateConfig.model_validate({"sources": [{"kind": "python-docs"}], **values})
        assert config.near_duplicates.digits_alike is own
