r"""LaTeX to text: the document's body, headings as `#`, code fenced, formulas as they are.

\section{Tea} It is \emph{hot}~\cite{a}.   ->   # Tea
                                                It is hot.
"""

import re

_COMMENT = re.compile(r"(?<!\\)%[^\n]*\n?")
_TITLE = re.compile(r"\\title\s?\{([^{}]*)\}")
_HEADING = re.compile(r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\[\]]*\])?\{([^{}]*)\}")
_LEVELS = {"part": 1, "chapter": 1, "section": 1, "subsection": 2, "subsubsection": 3, "paragraph": 4}
_CODE = re.compile(r"\\(begin|end)\{(?:verbatim|lstlisting|minted)\*?\}(?:\[[^\[\]\n]*\])?(?:\{[^{}\n]*\})?")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[^{}]*\}(?:\[[^\[\]]*\]|\{[^{}]*\}){0,4}")
_MATH_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:equation|align|gather|multline|array|matrix|cases|split)\*?\}")
_DROPPED = re.compile(
    r"~?\\(?:cite[a-z]*|ref|eqref|autoref|cref|label|pageref|index|bibliography|bibliographystyle|includegraphics|input"
    r"|include|vspace|hspace|usepackage|documentclass|newcommand|renewcommand|setlength|thispagestyle|pagestyle|hypersetup"
    r"|author|date|title|thanks|footnotemark)\*?(?:\[[^\[\]]*\]){0,2}(?:\{[^{}]*\}){0,2}"
)
_LINK = re.compile(r"\\href\{[^{}]*\}\{([^{}]*)\}")
_WRAPPED = re.compile(r"\\[a-zA-Z]+\*?(?:\[[^\[\]]*\])?\{([^{}]*)\}")
_ITEM = re.compile(r"\\item(?:\[([^\[\]]*)\])?[ \t]*")
_COMMAND = re.compile(r"\\[a-zA-Z]+\*?[ \t]?")
_MATH = re.compile(r"(\$\$?[^$]*\$\$?|\\\([^()]*\\\)|\\\[[^\[\]]*\\\])")
# What has to go before the commands, and what after them.
_MARKS = (("``", '"'), ("''", '"'), ("~", " "), ("---", "—"), ("\\\\", "\n"))
_ESCAPES = (*((f"\\{mark}", mark) for mark in "&%_#$"), ("\\,", " "), ("\\ ", " "), ("\\-", ""), ("{", ""), ("}", ""))
_MAX_NESTING = 4  # of commands within each other: `\textbf{\emph{x}}`


def read_latex(text: str) -> tuple[str, str]:
    """`(title, text)` of what is between `\\\\begin{document}` and its end, or of all where there is no such."""
    named = _TITLE.search(text)
    title = _prose(named[1]).strip() if named else ""
    _, begin, body = text.partition("\\begin{document}")
    body = body.partition("\\end{document}")[0] if begin else text
    parts: list[str] = []
    at, code_from = 0, -1
    for mark in _CODE.finditer(body):
        if mark[1] == "begin" and code_from < 0:
            parts.append(_body(body[at : mark.start()]))
            code_from = mark.end()
        elif mark[1] == "end" and code_from >= 0:
            code = body[code_from : mark.start()].strip("\n")
            parts.append(f"\n```\n{code}\n```\n")
            at, code_from = mark.end(), -1
    return title, "".join([*parts, _body(body[at:])])


def _body(text: str) -> str:
    """Prose with its formulas, which stay as they are written."""
    text = _HEADING.sub(lambda match: f"\n\n{'#' * _LEVELS[match[1]]} {match[2].strip()}\n\n", _COMMENT.sub("", text))
    text = _ENVIRONMENT.sub("", _MATH_ENVIRONMENT.sub(lambda _: "$$", text))
    return "".join(part if at % 2 else _prose(part) for at, part in enumerate(_MATH.split(text)))


def _prose(text: str) -> str:
    text = _ITEM.sub(lambda match: f"\n- {match[1]} " if match[1] else "\n- ", _LINK.sub(r"\1", _DROPPED.sub("", text)))
    for _ in range(_MAX_NESTING):
        text, changed = _WRAPPED.subn(r"\1", text)
        if not changed:
            break
    for mark, instead in _MARKS:
        text = text.replace(mark, instead)
    text = _COMMAND.sub("", text)
    for mark, instead in _ESCAPES:
        text = text.replace(mark, instead)
    return text
