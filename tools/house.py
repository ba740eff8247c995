"""The house as a picture, drawn from the imports of the code: `python tools/house.py` writes docs/house.svg.

Each row is a room (a package), the topmost floor first; a dot in a row means that the room imports the room of that
column. Since a room may use only what is below it, every dot is to the right of the diagonal: an import that points
upward would be a red dot on the left. `tests/test_floors.py` reads the floors from here and fails on such an import.
"""

import ast
from html import escape
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SOURCE = HOME / "src" / "groundup"
PICTURE = HOME / "docs" / "house.svg"

FLOORS = (  # from the ground up
    *("artifacts", "corpus", "tokenizer", "model", "shards", "inference", "parallel", "training", "alignment"),
    *("evaluation", "export", "serve", "planning", "blueprint", "pipeline", "report", "cli"),
)

GROUND = tuple(
    sorted(  # used by every room
        path.stem
        for path in SOURCE.iterdir()
        if path.stem not in (*FLOORS, "__init__", "__main__", "__pycache__", "py")
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    )
)

ROW, LEFT, TOP, NAME, NOTE = 30, 24, 104, 104, 560


def imports(path: Path) -> set[str]:
    """The groundup modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {name for name in found if name.startswith("groundup.")}


def is_configuration(module: str) -> bool:
    """Whether a module is a room's `configuration`, which any room may name: it holds no logic."""
    return module.split(".")[2:3] == ["configuration"]


def used_by(room: str) -> set[str]:
    """The rooms that a room imports, configurations aside."""
    modules = {name for path in (SOURCE / room).rglob("*.py") for name in imports(path) if not is_configuration(name)}
    return {name.split(".")[1] for name in modules} & set(FLOORS) - {room}


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    init = SOURCE / room / "__init__.py"
    docstring = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8") if init.exists() else "")) or ""
    sentence = " ".join(docstring.split("\n\n")[0].split())
    return sentence.split(". ")[0].removesuffix(".").replace("`", "")


def draw() -> str:
    """The picture as SVG: light and dark by the reader's setting, no script, no font from elsewhere."""
    rooms = FLOORS[::-1]
    grid = LEFT + NAME + NOTE
    width, height = grid + ROW * len(rooms) + 24, TOP + ROW * len(rooms) + 56
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" role="img" '
        'aria-label="The rooms of groundup, and which of them import which">',
        "<style>.back{fill:#fff}.line{stroke:#e3e3e3}.name{fill:#111;font-weight:600}.note{fill:#555}.dot{fill:#2563eb}"
        ".wrong{fill:#dc2626}.self{fill:#d4d4d4}@media(prefers-color-scheme:dark){.back{fill:#171717}"
        ".line{stroke:#333}.name{fill:#f5f5f5}.note{fill:#a3a3a3}.dot{fill:#60a5fa}.self{fill:#404040}}</style>",
        f'<rect class="back" width="{width}" height="{height}" rx="8"/>',
    ]
    for column, room in enumerate(rooms):
        x = grid + ROW * column + ROW // 2
        parts.append(f'<text class="note" transform="translate({x + 4},{TOP - 10}) rotate(-60)">{room}</text>')
    for row, room in enumerate(rooms):
        y = TOP + ROW * row
        parts.append(f'<line class="line" x1="{LEFT}" x2="{width - 24}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="name" x="{LEFT}" y="{y + 20}">{room}</text>')
        parts.append(f'<text class="note" x="{LEFT + NAME}" y="{y + 20}">{escape(shortened(purpose(room)))}</text>')
        used = used_by(room)
        for column, other in enumerate(rooms):
            x = grid + ROW * column + ROW // 2
            if other == room:
                parts.append(f'<rect class="self" x="{x - 4}" y="{y + 11}" width="8" height="8" rx="2"/>')
            elif other in used:
                kind = "dot" if column > row else "wrong"
                title = f"<title>{room} imports {other}</title>"
                parts.append(f'<circle class="{kind}" cx="{x}" cy="{y + 15}" r="5">{title}</circle>')
    bottom = TOP + ROW * len(rooms)
    parts.append(f'<line class="line" x1="{LEFT}" x2="{width - 24}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="name" x="{LEFT}" y="{bottom + 24}">ground floor</text>')
    note = f"{', '.join(GROUND)}: used by every room"
    parts.append(f'<text class="note" x="{LEFT + NAME}" y="{bottom + 24}">{note}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def shortened(sentence: str, limit: int = 84) -> str:
    """A sentence that fits its column."""
    return sentence if len(sentence) <= limit else sentence[: sentence.rfind(" ", 0, limit - 1)] + " …"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(PICTURE.relative_to(HOME))
