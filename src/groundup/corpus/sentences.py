"""Where the first sentence of a paragraph ends.

A full stop ends a sentence unless it belongs to an abbreviation (`e.g.`), an initial (`J. Smith`), a quoted mark
(`'.'`), an ellipsis within a sentence, or is inside brackets that close later. Numbers (`3.11`) and dotted names
(`os.path`) hold stops that no white space follows, so they never end one.
"""

import re

from groundup.corpus.clean import squeeze

# \u2018, \u2019, \u201c and \u201d are the curly quotation marks.
_STOP = re.compile(r"(?<![.!?])[.!?]++[\"'\u2019\u201d)\]}`*_]*+(?=\s|$)")
_QUOTED_MARK = re.compile(r"[(\[]?[\"'`\u2018\u201c]+[.!?]+[\"'`\u2019\u201d]+[)\],;]*")
_OPENERS, _CLOSERS = "([{\"'`\u2018\u201c*_<", ".!?\"'\u2019\u201d)]}`*_>"
_ABBREVIATION = re.compile(
    r"e\.g|i\.e|eg|ie|cf|vs|viz|resp|al|approx|ca|figs?|sec|eq|incl|excl|esp|a\.k\.a|w\.r\.t|dr|mr|mrs|ms|prof|st|jr|sr"
    r"|inc|ltd|co|corp|vol|ch|pp|eds?|u\.s|u\.k"
)
_ENDS_BEFORE_CAPITAL = re.compile(r"al|inc|ltd|co|corp|jr|sr|u\.s|u\.k")


def first_sentence(paragraph: str) -> str:
    """The first sentence of `paragraph`, on one line; the whole of it where nothing ends a sentence."""
    text = squeeze(paragraph)
    depth = _Depth(text)
    for stop in _STOP.finditer(text):
        if not depth.inside_at(stop.start()) and _ends(text, stop):
            return text[: stop.end()]
    return text


def _ends(text: str, stop: re.Match[str]) -> bool:
    """Whether the marks of `stop` end a sentence."""
    rest = text[stop.end() :].lstrip()
    if not rest:
        return True
    before = text[: stop.end()]
    token = before[before.rfind(" ") + 1 :]
    if _QUOTED_MARK.fullmatch(token):
        return False
    if stop.group().rstrip(")]}") != ".":
        # An ellipsis, a question, an exclamation or the end of a quotation: lower case continues the sentence.
        return not rest[0].islower()
    word = token.lstrip(_OPENERS).rstrip(_CLOSERS)
    if _ABBREVIATION.fullmatch(word.lower()):
        return _ENDS_BEFORE_CAPITAL.fullmatch(word.lower()) is not None and rest[0].isupper()
    if word.lower() == "etc":
        return not rest[0].islower()
    if word.lower() in {"no", "nos", "p"} and rest[0].isdigit():
        return False
    return not (len(word) == 1 and word.isupper() and rest[0].isupper() and _named_before(before))


def _named_before(before: str) -> bool:
    """Whether a single capital letter at the end of `before` is an initial: it starts the text or follows a name."""
    words = before.split(" ")
    if len(words) < 2:
        return True
    name = words[-2]
    return name[:1].isupper() and (name.endswith(".") or name[1:].islower()) and len(words) > 2


class _Depth:
    """Which positions of a text lie inside round or square brackets that close within it."""

    def __init__(self, text: str) -> None:
        self._spans: list[tuple[int, int]] = []
        open_at: list[int] = []
        for match in re.finditer(r"[()\[\]]", text):
            if match.group() in "([":
                open_at.append(match.start())
            elif open_at:
                start = open_at.pop()
                if not open_at:
                    self._spans.append((start, match.start()))
        self._next = 0

    def inside_at(self, position: int) -> bool:
        """Asked with rising positions."""
        while self._next < len(self._spans) and self._spans[self._next][1] < position:
            self._next += 1
        return self._next < len(self._spans) and self._spans[self._next][0] < position < self._spans[self._next][1]
