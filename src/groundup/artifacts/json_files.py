"""JSON files, read with limits and checked: they may come from elsewhere, be cut off, or be damaged.

`read_json` takes any file; whatever is wrong with it is one line that names it. A file of the project's own that
nothing else than this version may change is sealed: it names its format, and holds the SHA-256 of its content, so that
`read_sealed` notices every changed byte.
"""

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn, TypeVar, overload

from pydantic import TypeAdapter, ValidationError

from groundup.artifacts.durable import write_text
from groundup.errors import GroundupError

MAX_BYTES = 256 << 20
MAX_DEPTH = 64  # objects and lists inside each other

T = TypeVar("T")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)


class OtherFormatError(GroundupError):
    """A sealed file that another version of groundup wrote."""


@overload
def read_json(path: Path, *, do: str = ...) -> dict[str, Any]: ...
@overload
def read_json(path: Path, shape: type[T], do: str = ...) -> T: ...
def read_json(path: Path, shape: Any = dict[str, Any], do: str = "run again") -> Any:
    """What a JSON file holds.

    Args:
        shape: the type that it must have, as pydantic checks it; by default an object with any values.
        do: what the user can do about a file that is not right.

    Raises:
        GroundupError: the file is missing, too large, nested too deeply, no JSON, or of another shape.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise GroundupError(
                f"holds {size / 1e6:,.0f} MB of JSON, and {MAX_BYTES / 1e6:,.0f} is the limit", where=str(path), do=do
            )
        return parse_json(path.read_bytes(), shape)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise GroundupError(f"can't be read ({reason})", where=str(path), do=do) from error


def parse_json(data: bytes, shape: Any = Any) -> Any:
    """What JSON holds.

    Raises:
        ValueError: it is no JSON in UTF-8, is nested too deeply, has a number that is none, or is of another shape.
    """
    import numpy as np  # here, because a blueprint is loaded without it

    brackets = np.frombuffer(_STRING.sub(b"", data), dtype=np.uint8)
    depth = np.isin(brackets, list(b"[{")).cumsum() - np.isin(brackets, list(b"]}")).cumsum()
    if depth.max(initial=0) > MAX_DEPTH:
        raise ValueError(f"objects and lists are nested {depth.max():,} deep, and {MAX_DEPTH} is the limit")
    content = json.loads(data.decode("utf-8"), parse_constant=_no_number, parse_float=_finite)
    if shape == dict[str, Any]:
        if not isinstance(content, dict):
            raise ValueError("it holds no JSON object")
        return content
    try:
        return TypeAdapter(shape).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where + ': ' if where else ''}{first['msg'][0].lower()}{first['msg'][1:]}") from None


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def write_sealed(path: Path, format: str, content: dict[str, Any]) -> None:
    """Write an object whose every byte can be checked."""
    write_text(path, _sealed(format, content))


def read_sealed(path: Path, format: str, do: str) -> dict[str, Any]:
    """The object that `write_sealed` wrote.

    Raises:
        OtherFormatError: it is of another format.
        GroundupError: it can't be read, or has changed since it was written.
    """
    content = read_json(path, do=do)
    found = content.pop("format", None)
    if found != format:
        of = f"of the format {found!r}" if isinstance(found, str) else "of no known format"
        raise OtherFormatError(f"is {of}, and this version of groundup reads {format!r}", where=str(path), do=do)
    content.pop("sha256", None)
    if _sealed(format, content).encode() != path.read_bytes():
        raise GroundupError("has changed since it was written", where=str(path), do=do)
    return content


def _sealed(format: str, content: dict[str, Any]) -> str:
    body = {"format": format, **content}
    digest = hashlib.sha256(json.dumps(body, ensure_ascii=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
