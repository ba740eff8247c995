"""Scripts of letters, against Unicode's own tables; what they say of short texts."""

# ruff: noqa: RUF001 (characters that look like others are part of what is tried)

import numpy as np
import pyarrow as pa
import pytest
import regex

from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.language import differs, identify_many, undetermined
from groundup.corpus.filters.prose import prose_of
from groundup.corpus.filters.rules import judge
from groundup.corpus.filters.scripts import _SCRIPTS, _numbers, scripts_of, written_in
from groundup.corpus.filters.statistics import measure_all
from groundup.kernels.arrow import buffers
from made.languages import TEXTS

UNICODE = {"Jpan": r"[\p{Script=Hira}\p{Script=Kana}]", "Kore": r"\p{Script=Hang}"}
SHORT = {
    "ko": ("3월 5일 회의는 오후 두 시에 시작합니다.", "und-Kore"),
    "ja": ("会議は午後二時に始まります。", "und-Jpan"),
    "zh": ("会议下午两点开始，请准时。", "und-Hani"),
    "ru": ("Встреча начнётся в два часа дня.", "und-Cyrl"),
    "el": ("Η συνάντηση αρχίζει στις δύο.", "und-Grek"),
    "he": ("הפגישה מתחילה בשעה שתיים.", "und-Hebr"),
    "ar": ("يبدأ الاجتماع في الساعة الثانية.", "und-Arab"),
    "hi": ("बैठक दोपहर दो बजे शुरू होगी।", "und-Deva"),
    "th": ("การประชุมเริ่มเวลาบ่ายสองโมง", "und-Thai"),
    "ka": ("შეხვედრა ორ საათზე იწყება.", "und-Geor"),
    "en": ("The meeting begins at two.", "und"),
    "vi": ("Cuộc họp bắt đầu lúc hai giờ.", "und"),
}


def test_the_blocks_are_those_of_unicode() -> None:
    """Letters of each script are in its blocks, and no letters of another one."""
    letters = "".join(one for one in map(chr, [*range(0xD800), *range(0xE000, 0x323B0)]) if one.isalpha())
    for number, name in enumerate(_SCRIPTS.names[1:], 1):
        theirs = set(regex.findall(UNICODE.get(name, rf"\p{{Script={name}}}"), letters))
        ours = {one for one in letters if _numbers()[ord(one)] == number}
        common = {one for one in ours - theirs if regex.match(r"[\p{Script=Common}\p{Script=Inherited}]", one)}
        assert ours - theirs <= common and len(common) < 5, name
        missing = {one for one in theirs - ours if ord(one) < 0x10000}  # above, scripts have historic letters
        assert len(missing) < 20, name


@pytest.mark.parametrize("code", SHORT)
def test_a_short_text_is_kept_only_by_languages_of_its_script(code: str) -> None:
    text, named = SHORT[code]
    found, confidence = identify_many(pa.array([text]))
    assert found == [named] and undetermined(named)
    assert (confidence[0] > 0.7) == (named != "und")
    statistics = measure_all(pa.array([text]), prose_of(pa.array([text])))
    row = {name: statistics.column(name) for name in statistics.schema.names}
    row |= {"language": pa.array(found), "language_confidence": pa.array(confidence)}
    for wanted in SHORT:
        rules = RulesConfig(language=wanted, min_words=None, min_mean_word_length=None)
        same = (
            named == "und"
            or wanted == code
            or (wanted == "ja" and named == "und-Hani")
            or (wanted == "ko" and named == "und-Hani")
        )
        assert judge(pa.RecordBatch.from_pydict(row), rules).rule.tolist() == ["" if same else "language"], wanted


def test_the_script_goes_before_the_model() -> None:
    korean = "Docker 컨테이너에서 Kubernetes 클러스터를 실행하는 방법을 설명하는 문서입니다. "
    english = "The word 사과 means apple, and 배 means pear, as every child in Seoul knows. "
    found, _ = identify_many(pa.array([korean, english, korean * 9, english * 9]))
    assert [differs(one, "en") for one in found] == [True, False, True, False]
    assert found[0] == "und-Kore" and found[1] == "und"


def test_languages_in_their_own_letters_are_never_taken_for_another_script() -> None:
    for name, text in TEXTS.items():
        (script,), (fraction,) = scripts_of(*buffers(pa.array([text])))
        assert not script or (written_in(name.split("-")[0], script) and fraction > 0.8), name


def test_counts_are_those_of_each_text_alone() -> None:
    texts = ["", *TEXTS.values(), "abc", "Ωμέγα abc", "漢字 abc", "漢字かな abcdefgh", "٣٤٥ ‘’ 123"]
    together = scripts_of(*buffers(pa.array(texts)))
    alone = [scripts_of(*buffers(pa.array([text]))) for text in texts]
    assert together[0] == [names[0] for names, _ in alone]
    np.testing.assert_array_equal(together[1], [fractions[0] for _, fractions in alone])
    assert together[0][-5:] == ["", "Grek", "Hani", "", ""]
