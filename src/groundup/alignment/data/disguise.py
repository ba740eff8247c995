"""How people write a sentence: careless case, missing or doubled marks, typos, names in quotes or with parentheses.

    What does {subject} do?   ->   what does `os.path.join` do      what dose os.path.join() do??

The subject itself keeps its spelling, of which there are several: see `NameForms`.
"""

import random
import re
from dataclasses import dataclass

SUBJECT = "{subject}"
NEIGHBOURS = {
    "a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
    "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry",
    "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x",
}  # fmt: skip
_LONG_WORD = re.compile(r"[A-Za-z]{4,}")


@dataclass(frozen=True)
class Carelessness:
    """Probabilities of each habit."""

    small_start: float = 0.25
    all_small: float = 0.1
    capitals: float = 0.02
    no_mark: float = 0.25
    doubled_mark: float = 0.06
    typo: float = 0.12
    missing_word: float = 0.06
    name_marked: float = 0.25
    short_name: float = 0.08


CARELESS = Carelessness()


@dataclass(frozen=True)
class NameForms:
    """The ways to write a subject: bare, in one of the marks, and by its last part where that is enough."""

    full: str
    marked: tuple[str, ...] = ()
    """Templates such as `{}()`."""
    short: str = ""

    def draw(self, rng: random.Random, habits: Carelessness) -> str:
        name = self.short if self.short and rng.random() < habits.short_name else self.full
        if self.marked and rng.random() < habits.name_marked:
            return rng.choice(self.marked).replace("{}", name)
        return name


def disguised(sentence: str, name: NameForms, rng: random.Random, habits: Carelessness = CARELESS) -> str:
    """The sentence as somebody might type it, with the subject filled in."""
    before, _, after = sentence.partition(SUBJECT)
    if rng.random() < habits.missing_word:
        before, after = _word_missing(before, rng), after
    if rng.random() < habits.typo:
        before, after = (_typo(before, rng), after) if rng.random() * len(sentence) < len(before) else (
            before,
            _typo(after, rng),
        )  # fmt: skip
    draw = rng.random()
    if draw < habits.capitals:
        before, after = before.upper(), after.upper()
    elif draw < habits.capitals + habits.all_small:
        before, after = before.lower(), after.lower()
    elif draw < habits.capitals + habits.all_small + habits.small_start:
        before = before[:1].lower() + before[1:]
    draw = rng.random()
    if draw < habits.no_mark:
        after = after.rstrip("?.!:") if after else after
    elif draw < habits.no_mark + habits.doubled_mark and after[-1:] in ("?", "!", "."):
        after += after[-1]
    return before + name.draw(rng, habits) + after


def _word_missing(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    if len(words) < 3:
        return text
    index = rng.randrange(len(words) - 1)
    return " ".join(words[:index] + words[index + 1 :])


def _typo(text: str, rng: random.Random) -> str:
    """One slip in one of the longer words: two letters swapped, one lost, doubled, or its neighbour hit."""
    words = list(_LONG_WORD.finditer(text))
    if not words:
        return text
    word = rng.choice(words)
    at = word.start() + rng.randrange(1, len(word.group()) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == 1:
        return text[:at] + text[at + 1 :]
    if kind == 2:
        return text[:at] + text[at] + text[at:]
    return text[:at] + rng.choice(NEIGHBOURS.get(text[at].lower(), text[at])) + text[at + 1 :]
