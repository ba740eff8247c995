"""Jupyter notebooks to text: Markdown as it is, code fenced, outputs dropped."""

import json
from typing import Any

from groundup.corpus.extraction.markdown import read_markdown
from groundup.corpus.sources.unreadable import UnreadableError


def read_notebook(text: str) -> tuple[str, str]:
    """`("", text)`: the cells in their order, with blank lines between them.

    Raises:
        UnreadableError: `bad-json`, or no notebook.
    """
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("bad-json", str(error)) from error
    sheets = notebook.get("worksheets", [notebook]) if isinstance(notebook, dict) else []
    cells = [cell for sheet in sheets if isinstance(sheet, dict) for cell in _list(sheet.get("cells"))]
    language = ""
    if isinstance(notebook, dict) and isinstance(notebook.get("metadata"), dict):
        kernel = notebook["metadata"].get("kernelspec")
        language = str(kernel.get("language", "")) if isinstance(kernel, dict) else ""
    parts = (_cell(cell, language) for cell in cells if isinstance(cell, dict))
    return "", "\n\n".join(filter(None, parts))


def _cell(cell: dict[str, Any], language: str) -> str:
    source = cell.get("source", cell.get("input", ""))
    said = "".join(map(str, source)) if isinstance(source, list) else str(source)
    if not said.strip():
        return ""
    if cell.get("cell_type") == "code":
        return f"```{language or 'python'}\n{said}\n```"
    return read_markdown(said)[1] if cell.get("cell_type") in ("markdown", "heading") else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
