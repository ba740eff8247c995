"""Fenced code in Markdown-like text: what changes prose must not change it."""

import re
from collections.abc import Callable

_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to every run of lines that is no fenced code; an open fence reaches to the end."""
    kept: list[str] = []
    plain: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not fence and mark:
            kept.append(change("\n".join([*plain, ""])) + line)
            plain, fence = [], mark[1]
        elif fence:
            kept.append(line)
            if mark and mark[1].startswith(fence):
                fence = ""
        else:
            plain.append(line)
    if plain:
        kept.append(change("\n".join(plain)))
    return "\n".join(kept)


def without_spans(text: str, begin: str, end: str) -> str:
    """`text` without what is between two marks; a pattern such as `<!--.*?-->` takes quadratic time where no end is."""
    kept: list[str] = []
    at = 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start + len(begin))) >= 0:
        kept.append(text[at:start])
        at = stop + len(end)
    return "".join([*kept, text[at:]])
