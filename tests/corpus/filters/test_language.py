"""Languages are identified where there is enough text, and left open where there is not."""

import html
import re
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from groundup.corpus.filters.configuration import LanguageConfig, RulesConfig
from groundup.corpus.filters.language import MIN_BYTES, UNDETERMINED, identify_many, load
from groundup.corpus.filters.language_codes import short
from groundup.corpus.filters.naive_bayes import bundled
from groundup.corpus.filters.words import MAX_CHARACTERS, words_of
from groundup.corpus.words import is_unspaced
from groundup.errors import GroundupError
from groundup.kernels.arrow import buffers
from made.languages import TEXTS
from made.prose import documents
from made.real import UDHR, declarations

GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren und sollen einander brüderlich begegnen. " * 2
ENGLISH = "All human beings are born free and equal in dignity and rights and should act towards one another well. " * 2
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。" * 2


@cache
def texts_in_many_languages() -> dict[str, str]:
    """Code -> text, and the real ones' file -> text where they are there."""
    real = {name: html.unescape(re.sub(r"<[^>]*>", " ", page)) for name, page in declarations().items()}
    return TEXTS | real


def codes(*texts: str) -> list[str]:
    return identify_many(pa.array(texts))[0]


def test_three_languages() -> None:
    found, confidences = identify_many(pa.array([GERMAN, ENGLISH, JAPANESE]))
    assert found == ["de", "en", "ja"]
    assert confidences.dtype == np.float32
    assert (confidences > 0.9).all()


def test_short_texts_and_code_are_left_undetermined() -> None:
    assert codes("Zurück zur Seite.", "x_1 = f(a[0]) + g(b[1])  # --\n" * 50, "") == [UNDETERMINED] * 3
    assert identify_many(pa.array(["", GERMAN]))[1][0] == 0.0
    assert codes("a " * MIN_BYTES) != [UNDETERMINED]  # the limit itself is enough
    assert codes("a " * (MIN_BYTES - 1)) == [UNDETERMINED]


def test_code_between_words_changes_nothing() -> None:
    mixed = ENGLISH.replace("equal", "`eq_1(x[0])` equal os.path.join(a, *p)")
    found, confidences = identify_many(pa.array([mixed, ENGLISH]))
    assert found == ["en", "en"]
    assert confidences[0] == confidences[1]


LETTER = "A-Za-z\u00aa-\U0010ffff"
PIECE = re.compile(rf"[{LETTER}][{LETTER}'\-]*")
RUN = re.compile(rf"[\"(\[]*{PIECE.pattern}(?:[,/]{PIECE.pattern})*[\").\],;:!?]*")
NOT_ASCII = re.compile("[^\x00-\x7f]+")


def plain_words(text: str) -> list[str]:
    found = []
    for run in text[: 8 * MAX_CHARACTERS].split():
        if RUN.fullmatch(run):
            found += PIECE.findall(run)
        elif any(character.isalpha() and is_unspaced(ord(character)) for character in run):
            found += NOT_ASCII.findall(run)
    return found


def test_the_words_are_those_that_patterns_find() -> None:
    texts = [*texts_in_many_languages().values(), *documents(40), *declarations().values()]
    texts += [text.upper() for text in texts_in_many_languages().values()]
    texts += [text.replace(" ", sign, 40) for sign in ",/-3" for text in texts_in_many_languages().values()]
    data, offsets, sizes = words_of(*buffers(pa.array(texts)))
    for number, text in enumerate(texts):
        expected = " ".join(plain_words(text))[:MAX_CHARACTERS]
        large = sum(map(str.isupper, expected)) > sum(map(str.islower, expected))
        expected = unicodedata.normalize("NFC", expected.lower() if large else expected)
        found = data[offsets[number] : offsets[number + 1]].tobytes().decode()
        assert found == expected
        assert sizes[number] == len(found.encode()) - found.count(" ")


def test_digits_commas_and_capitals_hide_no_language() -> None:
    chinese = "这台机器,用来把木头3切成薄片(2020)，然后把薄片一层一层粘在一起/做成结实的板子，可以造家具和船。"  # noqa: RUF001
    joined = ENGLISH.replace("born free and", "born,free,and").replace("dignity and rights", "dignity/rights")
    shouted = f"{ENGLISH.upper()} (so it is)"
    assert codes(chinese, joined, shouted, GERMAN.upper()) == ["zh", "en", "en", "de"]
    thai = "ห้องสมุดของโรงเรียนมีหนังสือมากกว่า 2,000 เล่มและเปิดให้นักเรียนยืมได้ทุกวันจันทร์ถึงวันศุกร์"
    assert codes(thai) == ["th"]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("EN", "did you mean en?"),
        ("english", "did you mean en?"),
        ("en-US", "did you mean en?"),
        ("eng", "did you mean en?"),
        ("zh_Hans", "did you mean zh?"),
        ("German ", "did you mean de?"),
        ("und", "such as en"),
        ("x1", "such as en"),
        ("", "such as en"),
    ],
)
def test_codes_are_checked_when_the_blueprint_is_read(written: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(hint)):
        RulesConfig(language=written)


def test_codes_of_models_are_accepted() -> None:
    assert [RulesConfig(language=code).language for code in ("en", "zh", "grc", "yue", None)] == [
        "en", "zh", "grc", "yue", None,
    ]  # fmt: skip


def test_the_kernel_says_what_py3langid_says() -> None:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    peer = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    pieces = ((0, 30), (300, 300), (0, 4000))
    texts = [text[at : at + size].strip() for text in texts_in_many_languages().values() for at, size in pieces]
    texts += ["", "x", "1234567890", "a" * 500, "\U0001f600" * 20]
    data, offsets = buffers(pa.array([unicodedata.normalize("NFC", text) for text in texts]))
    found, confidences = bundled().predict(data, offsets)
    expected = [peer.classify(text) for text in texts]
    assert found == [code for code, _ in expected]
    np.testing.assert_allclose(confidences, [confidence for _, confidence in expected], atol=2e-4)


def test_every_language_is_found_in_a_short_text() -> None:
    found = dict(zip(TEXTS, codes(*TEXTS.values()), strict=True))
    assert {name: code for name, code in found.items() if code != name.split("-")[0]} == {}


LABELS = {
    "arb": "ar", "cmn_hans": "zh", "cmn_hant": "zh", "deu_1996": "de", "ell_monotonic": "el", "pes_1": "fa",
    "por_BR": "pt", "por_PT": "pt", "ron_2006": "ro", "srp_latn": "sr", "nob": "no",
}  # fmt: skip


@pytest.mark.skipif(not UDHR.is_dir(), reason="needs a published data set (../shared/data)")
def test_accuracy_over_53_languages() -> None:
    """All but Serbian in Latin letters, which is taken for Croatian or Bosnian, and Indonesian, taken for Malay."""
    pages = {name: html.unescape(re.sub(r"<[^>]*>", " ", page)) for name, page in declarations().items()}
    found = dict(zip(pages, codes(*pages.values()), strict=True))
    assert len(found) == 53
    wrong = {name for name, code in found.items() if code != LABELS.get(name, short(name))}
    assert wrong <= {"srp_latn", "ind"}
    assert [name for name, code in found.items() if code == "en"] == ["eng"]


def test_a_fasttext_model(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("fasttext")
    (tmp_path / "train.txt").write_text(
        "".join(f"__label__eng_Latn {ENGLISH}\n__label__de {GERMAN}\n" for _ in range(50)), encoding="utf-8"
    )
    settings = {"dim": 16, "bucket": 1 << 20, "wordNgrams": 2, "epoch": 25, "thread": 1, "verbose": 0}
    model = fasttext.train_supervised(str(tmp_path / "train.txt"), **settings)
    model.save_model(str(tmp_path / "lid.bin"))
    ours = load(LanguageConfig(model=Path("lid.bin")), tmp_path)
    found, confidences = identify_many(pa.array([GERMAN, "kurz", ENGLISH]), ours)
    assert found == ["de", UNDETERMINED, "en"]
    assert confidences[0] > 0.9
    assert confidences[1] == 0
    assert confidences.max() <= 1


def test_a_model_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("fasttext")
    (tmp_path / "text.bin").write_text("this is no model at all")
    with pytest.raises(GroundupError, match=r"curate.language.model .*text.bin: is no fastText model"):
        load(LanguageConfig(model=tmp_path / "text.bin"))
    with pytest.raises(GroundupError, match=r"curate.language.model .*none.bin: there is no such file"):
        load(LanguageConfig(model=tmp_path / "none.bin"))


def test_without_fasttext(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fasttext", None)
    with pytest.raises(GroundupError, match=r"fastText is not installed; pip install 'groundup\[fasttext\]'"):
        load(LanguageConfig(model=tmp_path / "any.bin"))


def test_codes_of_three_letters() -> None:
    assert [short(label) for label in ("en", "eng", "eng_Latn", "cmn_Hani", "zho_Hans", "zh-min-nan", "nds")] == [
        *("en", "en", "en", "zh", "zh", "zh", "nds")
    ]
