"""reStructuredText to Markdown-like text: headings as `#`, roles, labels and options gone, code fenced.

.. note::                        Note: Read :ref:`this <label>` first.   ->   Note: Read this first.
"""

import re
from bisect import bisect_right

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
_DIRECTIVE = re.compile(r"\.\.\s+(?:\|[^|]+\|\s+)?(?P<name>[\w:+.-]+?)::(?:\s+(?P<argument>.*))?")
_EXPLICIT = re.compile(r"\.\.(?:\s|$)")
_FIELD = re.compile(r":[\w -]+:(?:\s|$)")
# Bounded, so that a text full of colons takes linear time.
_ROLE = re.compile(r":(?:[\w.+-]{1,40}:){1,4}`(?P<content>[^`]+)`")
_LINKED = re.compile(r"(?<!`)`(?P<text>[^`<>]+)(?:<[^`<>]*>)?`__?")
_SUBSTITUTION = re.compile(r"\|(?P<name>[^|\s](?:[^|\n]*[^|\s])?)\|_{0,2}")
_FENCE_BEGIN, _FENCE_END = re.compile(r" *```"), re.compile(r" *```$")
_ADMONITIONS = {"attention", "caution", "danger", "error", "hint", "important", "note", "tip", "warning", "seealso"}
_CODE = {"code", "code-block", "sourcecode", "highlight", "ipython", "prompt", "parsed-literal", "doctest", "testcode"}
_VERSIONS = {"versionadded": "Added in", "versionchanged": "Changed in", "deprecated": "Deprecated since"}
# Directives whose content is written for people; the content of any other (`toctree`, `image`, `raw`) is dropped.
_KEPT = {"topic", "sidebar", "rubric", "admonition", "epigraph", "compound", "container", "only", "figure", "table"}


def read_rst(text: str) -> tuple[str, str]:
    """`(title, text)`: headings as `#`, in the order in which their adornments come; roles, labels and options gone.

    Args:
        text: with `\\n` at the ends of lines, and no tabs that matter.
    """
    title, lines = _rst_headings(text.expandtabs(8).split("\n"))
    blocks = _fenced_apart("\n".join(_rst_blocks(lines)))
    return title, "\n".join(block if is_code else _without_markup(block) for is_code, block in blocks)


def _without_markup(text: str) -> str:
    """Text without roles and links, but for its literal blocks."""
    return "".join(block if literal else _inline(block) for literal, block in _literal_blocks_apart(text))


def _fenced_apart(text: str) -> list[tuple[bool, str]]:
    """`(is it code, lines)`: fenced code set apart from what is around it; a fence that never ends is none."""
    blocks: list[tuple[bool, str]] = []
    lines = text.split("\n")
    ends = [at for at, line in enumerate(lines) if _FENCE_END.match(line)]
    begin = at = 0
    while at < len(lines) and ends and at < ends[-1]:
        if _FENCE_BEGIN.match(lines[at]):
            end = ends[bisect_right(ends, at)]
            if begin < at:
                blocks.append((False, "\n".join(lines[begin:at])))
            blocks.append((True, "\n".join(lines[at : end + 1])))
            begin = at = end + 1
        else:
            at += 1
    return [*blocks, (False, "\n".join(lines[begin:]))] if begin < len(lines) else blocks


def _literal_blocks_apart(text: str) -> list[tuple[bool, str]]:
    """`(is it literal, lines)`: what is indented more than a line that ends with `::`, and sessions after `>>> `."""
    blocks: list[tuple[bool, str]] = []
    lines = text.split("\n")
    begin = at = 0
    while at < len(lines):
        line = lines[at]
        session = line.lstrip().startswith(">>> ")
        end = at if session else at + 1
        if session:
            while end < len(lines) and lines[end].strip():
                end += 1
        elif line.rstrip().endswith("::"):
            while end < len(lines) and _belongs(lines[end], line):
                end += 1
        start = at if session else at + 1
        if end > start and any(one.strip() for one in lines[start:end]):
            if begin < start:
                blocks.append((False, "\n".join(lines[begin:start]) + "\n"))
            blocks.append((True, "\n".join(lines[start:end]) + ("\n" if end < len(lines) else "")))
            begin = end
        at = max(end, at + 1)
    return [*blocks, (False, "\n".join(lines[begin:]))] if begin < len(lines) else blocks


def _rst_headings(lines: list[str]) -> tuple[str, list[str]]:
    """The first heading, and the lines with `# ...` for headings that are over- or underlined."""
    levels: list[str] = []
    title = ""
    kept: list[str] = []
    at = 0
    while at < len(lines):
        over = at + 2 < len(lines) and _adorns(lines[at], lines[at + 1]) and _same(lines[at], lines[at + 2])
        under = at + 1 < len(lines) and not over and _adorns(lines[at + 1], lines[at]) and not lines[at][:1].isspace()
        before = not kept or not kept[-1].strip() or kept[-1].startswith("#")
        if (over or under) and before:
            heading = lines[at + 1 if over else at].strip()
            style = ("over" if over else "") + lines[at if over else at + 1][0]
            if style not in levels:
                levels.append(style)
            heading = _inline(heading)
            title = title or heading
            kept += [f"{'#' * min(6, levels.index(style) + 1)} {heading}", ""]
            at += 3 if over else 2
        else:
            kept.append(lines[at])
            at += 1
    return title, kept


def _same(line: str, other: str) -> bool:
    return line.rstrip() == other.rstrip()


def _adorns(line: str, heading: str) -> bool:
    return bool(
        heading.strip()
        and _ADORNMENT.fullmatch(line)
        and not _ADORNMENT.fullmatch(heading)
        and len(line.rstrip()) >= len(heading.strip())
    )


def _rst_blocks(lines: list[str]) -> list[str]:
    """Lines without explicit markup; the readable content of directives stays, and code is fenced."""
    kept: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        stripped = line.lstrip()
        if not _EXPLICIT.match(stripped):
            kept.append(line)
            at += 1
            while line.rstrip().endswith("::") and at < len(lines) and _belongs(lines[at], line):
                kept.append(lines[at])  # as it is
                at += 1
            continue
        indent = len(line) - len(stripped)
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
            end += 1
        content = lines[at + 1 : end]
        directive = _DIRECTIVE.match(stripped)
        if directive is not None:
            kept += _directive(directive["name"].rsplit(":", 1)[-1], directive["argument"] or "", content, indent)
        kept.append("")
        at = end
    return kept


def _directive(name: str, argument: str, content: list[str], indent: int) -> list[str]:
    """What of a directive is for people, at the indent of the directive itself."""
    body = _dedented(content, indent)
    while body and _FIELD.match(body[0].strip()):
        body = body[1:]
    space = " " * indent
    if name in _CODE:
        return ["", f"{space}```{argument.split(' ')[0]}", *_trimmed(body), f"{space}```"]
    if name in _ADMONITIONS:
        label = "See also" if name == "seealso" else name.capitalize()
        return ["", f"{space}{label}: {argument}".rstrip(), *_rst_blocks(body)]
    if name in _VERSIONS:
        version, _, said = argument.partition(" ")
        return ["", f"{space}{_VERSIONS[name]} {version}{': ' + said if said else ''}", *_rst_blocks(body)]
    if name in _KEPT:
        said = argument if name in ("topic", "sidebar", "rubric", "admonition", "table") else ""
        return ["", space + said, *_rst_blocks(body)]
    if name in ("math", "productionlist"):
        return ["", space + argument, *body]
    # A description of something in code: `.. function:: open(file)`, with its text.
    if argument and body and any(line.strip() for line in body) and name not in ("toctree", "image", "raw", "include"):
        return ["", space + argument, *_rst_blocks(body)]
    return []


def _belongs(line: str, above: str) -> bool:
    """Whether a line is of the block below another."""
    return not line.strip() or _indent(line) > _indent(above)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dedented(lines: list[str], indent: int) -> list[str]:
    least = min((_indent(line) for line in lines if line.strip()), default=indent)
    return [" " * indent + line[least:] if line.strip() else "" for line in lines]


def _trimmed(lines: list[str]) -> list[str]:
    while lines and not lines[0].strip():
        lines = lines[1:]
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def _inline(text: str) -> str:
    """Roles, links and substitutions as their text; what is between double backquotes is not changed."""
    return "".join(part if at % 2 else _without_roles(part) for at, part in enumerate(_literals_apart(text)))


def _literals_apart(text: str) -> list[str]:
    """Text and inline literals (` ``code`` `) in turn, beginning with text."""
    parts: list[str] = []
    begin = at = 0
    while (start := text.find("``", at)) >= 0:
        end = text.find("``", start + 2)
        while end >= 0 and text[end - 1].isspace():  # no literal ends after white space
            end = text.find("``", end + 2)
        if end < 0:
            break
        while text[end + 2 : end + 3] == "`":  # the literal itself may end with a backquote
            end += 1
        if text[start + 2].isspace() or "\n\n" in text[start:end]:
            at = start + 2
            continue
        parts += [text[begin:start], text[start : end + 2]]
        begin = at = end + 2
    return [*parts, text[begin:]]


def _without_roles(text: str) -> str:
    def content(match: re.Match[str]) -> str:
        """`title` of `title <target>`, or the target without the marks that shorten it."""
        title, _, _ = match["content"].rpartition("<")
        if title.lstrip("!~").strip() and match["content"].endswith(">"):
            return title.removeprefix("!").removeprefix("~").rstrip()
        return match["content"].lstrip("!~")

    text = _ROLE.sub(content, text)
    text = _LINKED.sub(lambda match: match["text"].rstrip(), text)
    return _SUBSTITUTION.sub(lambda match: match["name"], text).replace("::\n", ":\n")
