"""MediaWiki's markup to text in the form of Markdown, without expanding templates.

    '''Tea''' is a [[drink|hot drink]].{{cite web|...}}   ->   Tea is a hot drink.
    == Leaves ==                                               ## Leaves
    * {{lang|fr|thé}}                                          - thé

A template's program is in the wiki and not in the page: templates are dropped, but for those that mean characters
(`_WORDS`) or show one of their arguments (`_SHOWN`). Every step is one pass over the text.
"""

import re
from collections.abc import Iterable
from html import unescape

from groundup.corpus.extraction.fences import without_spans

FILES = frozenset({"file", "image", "media", "category"})
"""Namespaces of which a link shows no text; each wiki has its own names for them besides."""

_ELEMENTS = re.compile(
    r"(?i)<(/?)(nowiki|pre|syntaxhighlight|source|math|chem|ref|references|gallery|timeline|score|imagemap|mapframe|maplink"
    r"|includeonly|templatedata|templatestyles|graph|inputbox|hiero|indicator|categorytree)\b([^<>]*)>"
)
_LANGUAGE = re.compile(r"""(?i)\blang\s{0,9}=\s{0,9}["']?([\w+#.-]{1,30})""")
_TAGS = re.compile(
    r"(?i)</?(?:abbr|b|bdi|bdo|big|blockquote|center|cite|code|data|dd|del|dfn|div|dl|dt|em|font|h[1-6]|hr|i|ins|kbd|li"
    r"|mark|noinclude|nobr|ol|onlyinclude|p|poem|q|rb|rp|rt|ruby|s|samp|section|small|span|strike|strong|sub|sup|table|td|th"
    r"|time|tr|translate|tt|tvar|u|ul|var|wbr|langconvert)\b[^<>]*>"
)
_BREAK = re.compile(r"(?i)<br\b[^<>]*>")
_BRACKETS = re.compile(r"\{{2,}|\}{2,}|\[\[|\]\]")
_EXTERNAL = re.compile(r"\[((?:https?:|ftp:|mailto:)?//[^\[\]\n]*|mailto:[^\[\]\n]*)\]")
_QUOTES = re.compile(r"'{2,}")
_SWITCH = re.compile(r"__[A-Z]{3,30}__")
_HEADING = re.compile(r"(={1,6})([^\n]+?)\1[ \t]*")
_VARIANT = re.compile(r"-\{([^{}]*)\}-")
_PREFIX = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,8})?")
EMPTY_BRACKETS = re.compile(r" ?\([\s,;:\u2013-]{0,20}\)")
"""What is left where a template is dropped."""
_MARK = re.compile("\0(\\d{1,9})\0")
_CELL_STYLE = re.compile(r"""(?i)\s*(?:[a-z-]+\s*=\s*(?:"[^"]*"|'[^']*'|[\w%#.-]+(?![\w%#.-]))\s*)+""")
_CELL_BEGIN = re.compile(r"(?i)\s*(?:colspan|rowspan|style|bgcolor|align|valign|class|width|height|scope)\s*=")
# Tables of which a reader takes no sentence: boxes and bars with links.
_BOX = re.compile(r"(?i)infobox|navbox|metadata|mbox|toccolours|noprint")
_MAX_DEPTH = 40  # of brackets within brackets, as MediaWiki's own templates have
_MAX_STYLE = 1000  # characters of a cell's attributes

# Templates that show one of their arguments, by its number; -1 is the last.
_SHOWN = {
    name: number
    for number, names in {
        1: "abbr|abbrlink|tooltip|hover title|nihongo|zh|nowrap|nobr|small|smaller|big|larger|em|strong|italic|noitalic"
        "|ipa|quote|blockquote|cquote|quotation|poemquote|poem quote|center|centre|var|mvar|math|code|mono|kbd|samp"
        "|char|tq|sup|sub|angbr|angle bracket|as of|circa|c.|iast|not a typo|sic|ill|interlanguage link|annotated link"
        "|visible anchor|vanchor|val|formatnum|ordinal|roman|nts|smallcaps",
        2: "lang|langue|script|color|colour|font color",
        -1: "transliteration|transl",
    }.items()
    for name in names.split("|")
}
# Templates, and words of the markup itself, that mean characters.
_WORDS = {
    "!": "|", "=": "=", "(": "{", ")": "}", "!!": "||", "'": "'", "'s": "'s", "-": "", "shy": "",
    "ndash": "\u2013", "mdash": "\u2014", "endash": "\u2013", "emdash": "\u2014",
    "snd": " \u2013 ", "spnd": " \u2013 ", "spaced ndash": " \u2013 ",
    "nbsp": " ", "space": " ", "thin space": " ", "thinsp": " ", "br": "\n", "break": "\n", "crlf": "\n",
    "dot": " \u00b7 ", "middot": " \u00b7 ", "\u00b7": " \u00b7 ", "bull": " \u2022 ",
    "pi": "\u03c0", "okina": "\u02bb", "times": "\u00d7", "minus": "\u2212",
}  # fmt: skip
_QUANTITIES = frozenset({"convert", "cvt"})
_RANGES = frozenset({"-", "\u2013", "to", "and", "or", "by", "x"})
_FRACTIONS = frozenset({"frac", "fraction", "sfrac"})


def read_wikitext(source: str, hidden: frozenset[str] = FILES) -> str:
    """The text of a page.

    Args:
        source: its markup.
        hidden: namespaces, in lower case, of which a link shows nothing: files and categories.
    """
    kept: list[str] = []
    text = _without_elements(without_spans(source.replace("\0", ""), "<!--", "-->"), kept)
    text = _SWITCH.sub("", _BREAK.sub("\n", _without_brackets(text, hidden)))
    text = _inline("\n".join(_lines(text.split("\n"))))
    text = _MARK.sub(lambda match: kept[int(match[1])] if int(match[1]) < len(kept) else "", text)
    return "\n".join(_without_empty_sections(text.split("\n"))).strip("\n")


# ---- elements whose contents are no markup ----


def _without_elements(text: str, kept: list[str]) -> str:
    """`text` with a mark instead of each element; what it becomes is added to `kept`. One without an end is dropped."""
    never: set[str] = set()  # names whose end does not come any more
    parts: list[str] = []
    at = 0
    while True:
        name, begin = "", at
        for mark in _ELEMENTS.finditer(text, at):
            found = mark[2].lower()
            if not name:
                parts.append(text[at : mark.start()])
                at = begin = mark.end()
                if not mark[1] and not mark[3].endswith("/") and found not in never:
                    name, attributes = found, mark[3]
            elif mark[1] and found == name:
                parts.append(f"\0{len(kept)}\0")
                kept.append(_element(name, attributes, text[begin : mark.start()]))
                name, at = "", mark.end()
        if not name:
            return "".join([*parts, text[at:]])
        never.add(name)
        at = begin


def _element(name: str, attributes: str, inner: str) -> str:
    if name == "nowiki":
        return unescape(inner)
    if name in ("pre", "syntaxhighlight", "source"):
        language = _LANGUAGE.search(attributes)
        code = unescape(inner) if name == "pre" else inner
        if "\n" not in code.strip("\n") and name != "pre":
            return f"`{code.strip()}`"
        return f"\n```{language[1] if language else ''}\n{code.strip(chr(10))}\n```\n"
    if name in ("math", "chem"):
        return f"${' '.join(unescape(inner).split())}$"
    return ""


# ---- templates and links, which can be within each other ----


def _without_brackets(text: str, hidden: frozenset[str]) -> str:
    """`text` with links and templates replaced by what they show; brackets without a partner stay as they are."""
    # Of each open bracket: what it is, and what came after it. The first is the text itself.
    stack: list[tuple[str, list[str]]] = [("", [])]
    at = 0
    for mark in _BRACKETS.finditer(text):
        stack[-1][1].append(text[at : mark.start()])
        at = mark.end()
        run = mark[0]
        if run[0] in "{[":
            _open(run, stack)
        else:
            _close(run, stack, hidden)
    stack[-1][1].append(text[at:])
    return "".join(part for bracket, parts in stack for part in (bracket, *parts))


def _open(run: str, stack: list[tuple[str, list[str]]]) -> None:
    if len(stack) > _MAX_DEPTH:
        return
    if run == "[[":
        stack.append((run, []))
        return
    left = len(run)
    while left:  # the innermost is a parameter where the number is odd: {{{{{name}}} }}
        width = 3 if left == 3 else min(2, left)
        if len(stack) <= _MAX_DEPTH:
            stack.append(("{" * width, []))
        left -= width


def _close(run: str, stack: list[tuple[str, list[str]]], hidden: frozenset[str]) -> None:
    left = len(run)
    while left >= 2:
        opened = _matching(run[0], stack)
        if opened < 0:
            break
        inside = [part for bracket, parts in stack[opened + 1 :] for part in (bracket, *parts)]
        bracket, parts = stack[opened]
        del stack[opened:]
        inner = "".join([*parts, *inside])
        if bracket == "[[":
            shown = _link(inner, hidden)
            left = 0
        else:
            shown = "" if bracket == "{{{" else _template(inner)
            left -= min(left, len(bracket))
        stack[-1][1].append(shown)
    stack[-1][1].append(run[0] * left)


def _matching(closing: str, stack: list[tuple[str, list[str]]]) -> int:
    """The index of the innermost open bracket of the kind; at most `_MAX_DEPTH` are looked at."""
    opening = "{" if closing == "}" else "["
    return next((at for at in range(len(stack) - 1, 0, -1) if stack[at][0][0] == opening), -1)


def _link(inner: str, hidden: frozenset[str]) -> str:
    target, bar, label = inner.partition("|")
    space, colon, _ = target.partition(":")
    space = space.strip().lower()
    if colon and space in hidden:
        return ""
    if colon and not bar and _PREFIX.fullmatch(space):  # the same article in another language
        return ""
    if label.strip():
        return label
    return target.strip().removeprefix(":").replace("_", " ")


def _template(inner: str) -> str:
    name, *arguments = inner.split("|")
    name = " ".join(name.replace("_", " ").split()).lower()
    if name in _WORDS:
        return _WORDS[name]
    function, colon, first = name.partition(":")
    if colon:  # `{{formatnum:1234}}`
        name, arguments = function, [first, *arguments]
    number = 1 if name.startswith("lang-") else _SHOWN.get(name, 0)
    plain = [one.strip() for one in arguments if not _is_named(one)]
    if name in _QUANTITIES:  # 5 km, 5 to 6 km
        return " ".join(plain[: 4 if len(plain) > 3 and plain[1] in _RANGES else 2])
    if name in _FRACTIONS:
        return " ".join([*plain[:-2], "/".join(plain[-2:])])
    if number:
        pairs = (one.partition("=") for one in arguments)
        named = (value.strip() for key, sign, value in pairs if sign and key.strip() in ("text", str(number)))
        return next(named, "") or "".join(plain[number - 1 :][:1] if number > 0 else plain[-1:])
    return ""


def _is_named(argument: str) -> bool:
    """`author=Ann`, and not `E = mc`, nor a tag with attributes."""
    key, sign, _ = argument.partition("=")
    return bool(sign) and key.strip().replace("-", "").replace("_", "").isalnum()


# ---- lines ----


def _lines(lines: Iterable[str]) -> Iterable[str]:
    """Lines with headings, lists and tables in the form of Markdown."""
    tables: list[_WikiTable] = []
    for line in lines:
        bare = line.lstrip(" \t:")
        if bare.startswith("{|") and len(tables) < _MAX_DEPTH:
            tables.append(_WikiTable(bare[2:]))
        elif tables:
            if bare.startswith("|}"):
                done = tables.pop()
                rows = [] if done.hidden else done.rows()
                if not tables:
                    yield from rows
                else:
                    for row in rows:
                        tables[-1].add(row)
            else:
                tables[-1].line(bare)
        elif heading := _HEADING.fullmatch(line):
            yield f"\n{'#' * len(heading[1])} {heading[2].strip()}\n"
        else:
            yield _listed(line)
    for done in tables:  # without an end
        if not done.hidden:
            yield from done.rows()


class _WikiTable:
    """A table under way."""

    def __init__(self, attributes: str) -> None:
        self.hidden = _BOX.search(attributes) is not None
        self._rows: list[list[list[str]]] = [[]]  # rows of cells of lines

    def line(self, line: str) -> None:
        if line.startswith(("|-", "|+")):
            self._rows.append([])
            if line[1] == "+":
                self._rows[-1].append([_cell(line[2:])])
                self._rows.append([])
        elif line[:1] in ("|", "!"):
            cells = line[1:].replace("!!", "||").split("||") if line[0] == "!" else line[1:].split("||")
            self._rows[-1].extend([_cell(one)] for one in cells)
        else:
            self.add(line)

    def add(self, line: str) -> None:
        if self._rows[-1]:
            self._rows[-1][-1].append(line)

    def rows(self) -> Iterable[str]:
        yield ""
        for row in self._rows:
            cells = [" ".join(" ".join(cell).split()) for cell in row]
            if any(cells):
                yield " | ".join(cells)
        yield ""


def _cell(cell: str) -> str:
    """A cell without its attributes: `style="x" | said`; what was said may have been a template."""
    attributes, bar, said = cell.partition("|")
    if not bar and not _CELL_BEGIN.match(cell):
        return cell
    styled = len(attributes) < _MAX_STYLE and (not attributes.strip() or _CELL_STYLE.fullmatch(attributes))
    return said if styled else cell


def _listed(line: str) -> str:
    """`** x` becomes `  - x`, `# x` becomes `1. x`; indentation and terms lose their marks."""
    bare = line.lstrip("*#:;")
    marks = line[: len(line) - len(bare)]
    said = bare.strip()
    if not marks or not said:
        return bare
    indent = "  " * (min(len(marks), 9) - 1)
    if marks[-1] == "*":
        return f"{indent}- {said}"
    return f"{indent}1. {said}" if marks[-1] == "#" else said


# ---- within lines ----


def _inline(text: str) -> str:
    text = _EXTERNAL.sub(lambda match: (match[1].split(maxsplit=1) + [""])[1], text)
    text = _VARIANT.sub(_variant, _QUOTES.sub(_quotes, text))
    text = unescape(_TAGS.sub("", text)).replace("\u00a0", " ")
    return EMPTY_BRACKETS.sub("", text)


def _quotes(match: re.Match[str]) -> str:
    """Two are italics, three bold, five both; more are apostrophes."""
    count = len(match[0])
    return "'" if count == 4 else "'" * max(0, count - 5)


def _variant(match: re.Match[str]) -> str:
    """Of `-{zh-hans:计算机; zh-hant:電腦}-` the first."""
    said = match[1].rpartition("|")[2]
    first = said.partition(";")[0]
    return first.partition(":")[2].strip() if ";" in said and ":" in first else said


def _without_empty_sections(lines: list[str]) -> list[str]:
    """Lines without headings under which nothing is left, and with one blank line where there were more."""
    kept: list[str] = []
    fenced = False
    pending: list[str] = []  # headings that nothing has followed yet
    for line in lines:
        fenced ^= line.startswith("```")
        here = 0 if fenced else _level(line)
        if 0 < here <= 6 and line[here : here + 1] == " ":
            while pending and _level(pending[-1]) >= here:
                pending.pop()
            pending.append(line.rstrip())
        elif line.strip():
            for heading in pending:
                kept += [heading, ""] if not kept or not kept[-1] else ["", heading, ""]
            pending.clear()
            kept.append(line if fenced else line.rstrip())
        elif fenced or (kept and kept[-1] and not pending):
            kept.append("")
    return kept


def _level(line: str) -> int:
    """Of a heading: 2 for `## x`."""
    return len(line) - len(line.lstrip("#"))
