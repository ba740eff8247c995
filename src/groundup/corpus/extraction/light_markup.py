"""AsciiDoc and Org to Markdown-like text: `#` headings, fenced code, links as their text.

= Guide              * Guide            ->  # Guide
[source,python]      #+BEGIN_SRC python ->  ```python
"""

import re

_ADOC_HEADING = re.compile(r"(={1,6}|#{1,6})[ \t]+(?P<title>\S.*)")
_ADOC_ATTRIBUTE = re.compile(r":!?[\w-]+!?:(?:[ \t]|$)")
_ADOC_BLOCK_ATTRIBUTES = re.compile(r"\[(?P<content>[^\[\]]*)\][ \t]*$")
_ADOC_DELIMITER = re.compile(r"(?:={4,}|\*{4,}|_{4,}|-{2}|'{3,}|<{3,}|\|={3,}|\+)[ \t]*$")
_ADOC_MACRO = re.compile(r"(?:include|image|ifdef|ifndef|endif|ifeval|toc|video|audio)::")
_ADOC_LINK = re.compile(r"(?:(?:link|xref|mailto):|(?=https?://))[^\s\[\]]{1,2000}\[(?P<text>[^\[\]]*)\]")
_ADOC_CROSS = re.compile(r"<<(?P<target>[^<>,]*)(?:,(?P<text>[^<>]*))?>>")
_ADOC_INLINE_IMAGE = re.compile(r"(?:image|icon|kbd|btn|footnote):[^\s\[\]]{0,200}\[(?P<text>[^\[\]]*)\]")

_ORG_HEADING = re.compile(r"(\*{1,8})[ \t]+(?:(?:TODO|DONE)[ \t]+)?(?P<title>\S.*)")
_ORG_TITLE = re.compile(r"(?i)#\+title:[ \t]*(?P<title>.*)")
_ORG_BEGIN = re.compile(r"(?i)[ \t]*#\+begin_(?P<kind>src|example)(?:[ \t]+(?P<language>[\w+-]+))?")
_ORG_END = re.compile(r"(?i)[ \t]*#\+end_(?:src|example)")
_ORG_LINK = re.compile(r"\[\[(?P<target>[^\[\]]*)\](?:\[(?P<text>[^\[\]]*)\])?\]")
_ORG_TAGS = re.compile(r"(?<![ \t])[ \t]+:[\w@#%:]+:[ \t]*$")


def read_asciidoc(text: str) -> tuple[str, str]:
    """`(title, text)`: attributes, comments, includes and images are dropped."""
    kept: list[str] = []
    title = language = fence = ""
    is_comment = False
    for line in text.split("\n"):
        stripped = line.strip()
        if fence:
            kept.append("```" if stripped == fence else line)
            fence = "" if stripped == fence else fence
        elif stripped == "////":
            is_comment = not is_comment
        elif is_comment or stripped.startswith("//") or _ADOC_ATTRIBUTE.match(line) or _ADOC_MACRO.match(line):
            continue
        elif stripped in ("----", "....", "```") or (stripped.startswith("```") and stripped[3:].isalnum()):
            fence = stripped[:4] if stripped[0] in "-." else "```"
            kept.append(f"```{language}" if stripped[0] != "`" else stripped)
            language = ""
        elif attributes := _ADOC_BLOCK_ATTRIBUTES.match(line):
            names = attributes["content"].split(",")
            language = names[1].strip() if names[0].strip() == "source" and len(names) > 1 else ""
        elif heading := _ADOC_HEADING.match(line):
            title = title or heading["title"].strip()
            kept.append(f"{'#' * len(heading[1])} {_adoc_inline(heading['title'].strip())}")
        elif not _ADOC_DELIMITER.match(line):
            kept.append(_adoc_inline(line[1:] if line.startswith(".") and line[1:2].isalpha() else line))
    return title, "\n".join([*kept, "```"] if fence else kept)


def _adoc_inline(line: str) -> str:
    line = _ADOC_INLINE_IMAGE.sub(lambda match: match["text"], line)
    line = _ADOC_LINK.sub(lambda match: match["text"].split("^")[0], line)
    return _ADOC_CROSS.sub(lambda match: (match["text"] or match["target"]).strip(), line)


def read_org(text: str) -> tuple[str, str]:
    """`(title, text)`: keywords, drawers, tags and comments are dropped."""
    kept: list[str] = []
    title, is_code, is_drawer = "", False, False
    for line in text.split("\n"):
        if is_code:
            is_code = _ORG_END.match(line) is None
            kept.append(line if is_code else "```")
        elif is_drawer:
            is_drawer = line.strip().upper() != ":END:"
        elif begin := _ORG_BEGIN.match(line):
            is_code = True
            kept.append(f"```{begin['language'] or ''}")
        elif named := _ORG_TITLE.match(line):
            title = title or named["title"].strip()
        elif line.strip().upper() in (":PROPERTIES:", ":LOGBOOK:"):
            is_drawer = True
        elif line.lstrip().startswith(("#+", "# ")) or line.strip() == "#":
            continue
        elif heading := _ORG_HEADING.match(line):
            name = _org_inline(_ORG_TAGS.sub("", heading["title"][-2000:]))
            title = title or name
            kept.append(f"{'#' * min(6, len(heading[1]))} {name}")
        else:
            kept.append(_org_inline(line))
    return title, "\n".join([*kept, "```"] if is_code else kept)


def _org_inline(line: str) -> str:
    return _ORG_LINK.sub(lambda match: match["text"] or match["target"], line)
