"""What a docstring says in its summary line and its signature.

C functions without a text signature begin their docstring with one or several signatures:
`max(iterable, *[, default=obj, key=func]) -> value`. `split` sets these apart from the prose.
"""

import re
from dataclasses import dataclass

from groundup.corpus.clean import squeeze
from groundup.corpus.documents import Fact
from groundup.corpus.sentences import first_sentence

_CALL = re.compile(r"(?P<name>[A-Za-z_][\w.]*)\(")
_DASH = r"(?:--(?!>)|—|(?<=\s)-(?=\s))"
_AFTER = re.compile(
    rf"\s*(?:(?:-+>|=>|→)\s*(?P<returns>.*?)(?:\s*{_DASH}\s*(?P<noted>.*))?|(?:{_DASH}|:(?=\s))\s*(?P<said>.*)|[.:]?)",
    re.DOTALL,
)
_RETURNS_TUPLE = re.compile(r"\s*->\s*\(")
_TYPE_THEN_TEXT = re.compile(r"(?:[\w\[\]]+(?:\.\w+)*|\([^()]*\))[,:;.]\s+(?P<said>\S+(?:\s+\S+){2,}.*)", re.DOTALL)
_UNDERLINE = re.compile(r"([=\-~*^#\"'+`])\1{2,}")
_BLOCK_START = re.compile(r"(>>>|[-*+•]\s|\d+[.)]\s|[:@]\w+.*:|\.\. )")
_ASIDE = re.compile(r"(!!!|\?\?\?|\.\.)\s")
_PARAMETER = re.compile(r"\*{0,2}[A-Za-z_]\w*")
_MAX_SIGNATURE = 4000  # characters; a longer one is none, and looking for its end again and again takes long
_TYPE_WORDS = 4  # `-> a set-like object providing a view on D's keys` is prose; `-> list of str` is a type


@dataclass(frozen=True)
class SplitDocstring:
    """A docstring in two."""

    signatures: tuple[str, ...]  # `max(iterable, ...) -> value`, each on one line
    prose: str


def split(docstring: str, name: str) -> SplitDocstring:
    """Set the signatures at the start of a clean docstring apart from its prose.

    Args:
        docstring: as `inspect.cleandoc` leaves it.
        name: the last part of the symbol's name; `dict.keys` may also be called by a single letter (`D.keys()`).
    """
    lines = docstring.split("\n")
    signatures: list[str] = []
    at = 0
    while at < len(lines):
        found = _signature_at(lines, at, name)
        if found is None:
            break
        signature, said, at = found
        signatures.append(signature)
        if said:
            end = at
            while end < len(lines) and lines[end].strip() and _signature_at(lines, end, name) is None:
                end += 1
            next_form = [""] if end < len(lines) and lines[end].strip() else []
            return SplitDocstring(tuple(signatures), "\n".join([said, *lines[at:end], *next_form, *lines[end:]]))
        if at < len(lines) and not lines[at].strip():
            break
    return SplitDocstring(tuple(signatures), "\n".join(lines[at:]).strip("\n"))


def summary(docstring: str, name: str) -> str:
    """The first sentence of the first paragraph of a docstring, on one line.

    Empty where there is no prose, or one word of it.
    """
    lines = split(docstring, name).prose.strip("\n").split("\n")
    if len(lines) > 1 and _UNDERLINE.fullmatch(lines[0].strip()):  # a title between two rules
        lines = lines[1:]
    if len(lines) > 1 and _UNDERLINE.fullmatch(lines[1].strip()):  # the title says less than the text below it
        below = "\n".join(lines[2:]).strip("\n").split("\n")
        lines = below if below != [""] else lines[:1]
    while lines and _ASIDE.match(lines[0]):  # an admonition, a directive: skip it with what is indented below it
        rest = [at for at, line in enumerate(lines) if at and line.strip() and not line.startswith(" ")]
        lines = lines[rest[0] :] if rest else []
    sentence = first_sentence("\n".join(_paragraph(lines)))
    return sentence if len(sentence.split()) > 1 and any(character.isalpha() for character in sentence) else ""


def parameters(arguments: str) -> list[str] | None:
    """The names in `iterable, *[, default=obj, key=func]`: `["iterable", "default", "key"]`.

    `self`, defaults, annotations, optional brackets and the lone `*` and `/` are dropped. None where the text does not
    name them all (`...`).
    """
    names = []
    for part in _top_level_parts(re.sub(r"[\[\]]", "", _without_annotations(arguments))):
        name = part.split("=")[0].split(":")[0].strip()
        if name in {"", "*", "/"}:
            continue
        if not _PARAMETER.fullmatch(name):
            return None
        names.append(name)
    return names[1:] if names[:1] in (["self"], ["$self"]) else names


def arguments(signature: str) -> str:
    """The text between the outer parentheses of `f(a, b) -> c`: `a, b`."""
    start = signature.index("(")
    return signature[start + 1 : _closing(signature, start)]


def _signature_at(lines: list[str], at: int, name: str) -> tuple[str, str, int] | None:
    """`(signature, what is said after it, next line)` if a signature of `name` starts at line `at`."""
    call = _CALL.match(lines[at])
    if call is None or not _calls(call["name"], name) or len(lines[at]) > _MAX_SIGNATURE:
        return None
    text, end = lines[at], at + 1
    while (close := _closing(text, call.end() - 1)) < 0:
        if end >= len(lines) or not lines[end].strip() or len(text) > _MAX_SIGNATURE:
            return None
        text, end = f"{text}\n{lines[end]}", end + 1
    if end < len(lines) and lines[end].lstrip().startswith("->"):
        text, end = f"{text}\n{lines[end]}", end + 1
    if (tuple_at := _RETURNS_TUPLE.match(text, close + 1)) is not None:  # may take several lines
        while _closing(text, tuple_at.end() - 1) < 0 and end < len(lines) and lines[end].strip():
            text, end = f"{text}\n{lines[end]}", end + 1
    after = _AFTER.fullmatch(text, close + 1)
    if after is None:
        return None
    signature, returns, said = (
        squeeze(text[: close + 1]),
        squeeze(after["returns"] or ""),
        after["said"] or after["noted"] or "",
    )
    if not said and returns:
        then = _TYPE_THEN_TEXT.fullmatch(returns)
        if then is not None:
            said, returns = then["said"], ""
        elif len(returns.split()) > _TYPE_WORDS and not returns.startswith("("):
            said, returns = returns, ""
    return (f"{signature} -> {returns.rstrip('.')}" if returns else signature), said, end


def _calls(called: str, name: str) -> bool:
    return called.rsplit(".", 1)[-1] == name


def _closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at `start` closes; -1 if it does not."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return -1


def _paragraph(lines: list[str]) -> list[str]:
    """The lines of the first paragraph, up to a blank line, a list, an example or a field."""
    found: list[str] = []
    for line in lines:
        if not line.strip() or (found and _BLOCK_START.match(line.strip())):
            break
        found.append(line)
    return found


def _without_annotations(arguments: str) -> str:
    """`a: list[int] = [1]` without the brackets' contents, so that only optional-argument brackets stay."""
    return re.sub(r"(?<=[\w\]])\[[^\[\],]*(?:,[^\[\]]*)?\]", "", arguments) if ":" in arguments else arguments


def _top_level_parts(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    parts.append(text[start:])
    return parts


def symbol_facts(name: str, docstring: str, parameters: list[str] | None) -> tuple[Fact, ...]:
    """What the documentation of a symbol answers: its summary line, and its parameters' names where it has any."""
    said = summary(docstring, name.rsplit(".", 1)[-1])
    facts = [Fact(name, "summary", said)] if said else []
    if parameters:
        facts.append(Fact(name, "parameters", ", ".join(parameters)))
    return tuple(facts)
