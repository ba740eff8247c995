r"""Text as the page had it: without the backslashes and tags that make it safe Markdown.

the book \[sic\] \*as it is\*, <u>very</u> big     ->   the book [sic] *as it is*, very big
`a\[0\]` and fenced code                           ->   unchanged
"""

import re
from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TAG = r"</?(?:u|sup|sub)>"
# A run of backslashes before a character that trafilatura escapes wherever it is, or a run of backticks, or a tag.
_INLINE = re.compile(rf"(?<!\\)(?P<slashes>\\+)(?P<escaped>[*_~<\[\]`])|(?P<ticks>`+)|{_TAG}")
_BLOCK_START = re.compile(r"( {0,3})\\([#>*+-])|( {0,3}\d{1,9})\\([.)])")


def unescaped(markdown: str) -> str:
    """`markdown` without escapes and without the tags `<u>`, `<sup>`, `<sub>`; code is not changed."""
    if "\\" not in markdown and "<" not in markdown:
        return markdown
    return "\n".join(block if is_code else _plain(block) for is_code, block in _blocks(markdown))


def _blocks(markdown: str) -> Iterator[tuple[bool, str]]:
    """`(is it code, lines)`: fenced code, and paragraphs between blank lines, which no code span crosses."""
    held: list[str] = []
    fence = ""
    for line in markdown.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            held.append(line)
            if mark and mark[1].startswith(fence) and not line.strip("`~ "):
                yield True, "\n".join(held)
                held, fence = [], ""
        elif mark or not line.strip():
            if held:
                yield False, "\n".join(held)
            held = [line] if mark else []
            if mark:
                fence = mark[1]
            else:
                yield False, line
        else:
            held.append(line)
    if held:
        yield bool(fence), "\n".join(held)


def _plain(block: str) -> str:
    block = "\n".join(_BLOCK_START.sub(r"\1\2\3\4", line, count=1) for line in block.split("\n"))
    found = list(_INLINE.finditer(block))
    closing = _closing_runs(found)
    parts: list[str] = []
    at = code_until = 0
    for index, match in enumerate(found):
        if match.start() < code_until:
            continue
        if match["ticks"]:
            if index in closing:
                code_until = found[closing[index]].end()
            continue
        parts.append(block[at : match.start()])
        if match["slashes"]:
            parts.append("\\" * (len(match["slashes"]) // 2) + match["escaped"])
        at = match.end()
    return "".join([*parts, block[at:]])


def _closing_runs(found: list[re.Match[str]]) -> dict[int, int]:
    """For each run of backticks the next one of the same length, which ends the code span that it begins."""
    following: dict[int, int] = {}
    closing: dict[int, int] = {}
    for index in range(len(found) - 1, -1, -1):
        if ticks := found[index]["ticks"]:
            if len(ticks) in following:
                closing[index] = following[len(ticks)]
            following[len(ticks)] = index
    return closing
