"""Markdown kept as it is but for what is there for programs: front matter, comments, shortcodes, components.

---
title: Tea                        # Tea
---
{{< toc >}} Read this. <!-- x -->     ->   Read this.
"""

import re

from groundup.corpus.extraction.fences import outside_fences, without_spans

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<fields>.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(?P<title>.+)$", re.MULTILINE)
_TOML_MATTER = re.compile(r"\A\+\+\+[ \t]*\n(?P<fields>.*?)\n\+\+\+[ \t]*(?:\n|\Z)", re.DOTALL)
_TOML_TITLE = re.compile(r"^title[ \t]*=[ \t]*(?P<title>.+)$", re.MULTILINE)
_SHORTCODE = re.compile(r"\{\{[<%][^{}]*[%>]\}\}")  # Hugo's
_IMPORT = re.compile(r"^(?:import[ \t][^\n]*[ \t]from[ \t]+['\"]|import[ \t]+['\"]|export[ \t])[^\n]*\n?", re.MULTILINE)
_COMPONENT = re.compile(r"</?[A-Z][\w.]*(?:\s[^<>]*)?/?>|<>|</>")


def split_front_matter(text: str) -> tuple[str, str]:
    """`(title, rest)` of a text that may begin with front matter: YAML between `---` lines, or TOML between `+++`."""
    for matter, name in ((_FRONT_MATTER, _FRONT_TITLE), (_TOML_MATTER, _TOML_TITLE)):
        if match := matter.match(text):
            title = name.search(match["fields"])
            return (title["title"].strip().strip("\"'") if title else ""), text[match.end() :]
    return "", text


def read_markdown(text: str) -> tuple[str, str]:
    """`(title of the front matter, text)` without front matter, HTML comments and Hugo's shortcodes.

    Args:
        text: with `\\n` at the ends of lines.
    """
    title, rest = split_front_matter(text)
    if "<!--" in rest or "{{" in rest:
        rest = outside_fences(rest, lambda plain: _SHORTCODE.sub("", without_spans(plain, "<!--", "-->")))
    return title, rest


def read_mdx(text: str) -> tuple[str, str]:
    """The same of Markdown with components: without imports and exports, `{/* comments */}` and tags of components."""
    title, rest = read_markdown(text)
    return title, outside_fences(rest, _without_components)


def _without_components(plain: str) -> str:
    return _COMPONENT.sub("", _IMPORT.sub("", without_spans(plain, "{/*", "*/}")))
