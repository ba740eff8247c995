"""From YAML text to nodes that know their positions.

ruamel.yaml reads the text into events; here they become nodes by the rules of YAML 1.2's core schema (`yes` is text,
`3e-4` a number), read strictly: no key twice, no tags of one's own, nothing that refers to itself. Anchors, aliases
and merges (`<<`) work. Depth and number of values are bounded, so that no file makes the reader hang.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from groundup.blueprint.problems import Problem, Where

MAX_VALUES = 20_000  # aliases counted as often as they are used
MAX_DEPTH = 50
MAX_LINE = 1 << 16  # ruamel needs quadratic time for a long tag

Scalar = str | int | float | bool | None

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
INTEGER = re.compile(r"[-+]?[0-9]+(_[0-9]+)*|0x[0-9a-fA-F]+|0o[0-7]+")
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
LARGEST = 2**63

ENDS_IN = {
    "flow node": "this list's ] or this section's }",
    "flow sequence": "this list's ]",
    "flow mapping": "this section's }",
    "quoted scalar": "this text's closing quote",
}
STANDARD_TAG = "tag:yaml.org,2002:"
STANDARD_TAGS = frozenset(STANDARD_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq"))


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file. `keys` says where each key of a mapping is written."""

    value: "Scalar | dict[str, Node] | tuple[Node, ...]"
    where: Where
    keys: dict[str, Where] = field(default_factory=dict)
    values: int = 1  # this one and all below it
    depth: int = 1

    @property
    def mapping(self) -> "dict[str, Node]":
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> "tuple[Node, ...]":
        return self.value if isinstance(self.value, tuple) else ()

    def at(self, path: str) -> "Node | None":
        """The node at a dotted path (`curate.sources.0.path`), or None; the empty path is this node."""
        node: Node | None = self
        for part in path.split(".") if path else ():
            if node is None:
                return None
            if part.isdecimal() and isinstance(node.value, tuple):
                node = node.value[int(part)] if int(part) < len(node.value) else None
            else:
                node = node.mapping.get(part)
        return node

    def plain(self) -> Any:
        """The same as dictionaries, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


def collection(value: dict[str, Node] | tuple[Node, ...], where: Where, keys: dict[str, Where] | None = None) -> Node:
    """A mapping or list node over `value`, with its size counted."""
    below = tuple(value.values()) if isinstance(value, dict) else value
    values = 1 + sum(node.values for node in below)
    depth = 1 + max((node.depth for node in below), default=0)
    return Node(value, where, keys or {}, values, depth)


class _UnreadableError(Exception):
    """The text can't be read any further."""

    def __init__(self, where: Where, what: str) -> None:
        self.problem = Problem(where, "", what)


def parse(text: str, source: str, in_file: bool = True) -> tuple[Node | None, list[Problem]]:
    """The tree of a YAML text and what is wrong with it; None for a text without values, or one that is not YAML.

    Args:
        text: one YAML document.
        source: the file's name as errors show it, or the `--set` with `in_file` False: then no line is given.
    """
    builder = _Builder(source, in_file)
    for number, line in enumerate(text.split("\n")):
        if len(line) > MAX_LINE:
            what = f"a line of more than {MAX_LINE:,} characters; break it"
            return None, [Problem(builder.where(number, MAX_LINE), "", what)]
    try:
        for event in _events(text, builder.where):
            builder.take(event)
    except _UnreadableError as stop:
        return None, [stop.problem]
    return builder.root, builder.problems


def resolve(text: str) -> Scalar:
    """What a plain (unquoted) word means: null, a truth value, a number, else text.

    Raises:
        ValueError: a number that is not finite or beyond 64 bits.
    """
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if INTEGER.fullmatch(text):
        if len(text) > 40:
            raise ValueError("too large a number")
        digits = text.replace("_", "")
        whole = int(digits, 0) if digits[:2] in ("0x", "0o") else int(digits)
        if abs(whole) >= LARGEST:
            raise ValueError("too large a number")
        return whole
    if DECIMAL.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError("too large a number")
        return number
    if NOT_FINITE.fullmatch(text):
        raise ValueError(f"expected a finite number, got {text}")
    return text


def _events(text: str, where: Any) -> Iterator[Any]:
    """The text as ruamel's events; raises _UnreadableError for what is not YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        at_end = error.problem_mark is not None and error.problem_mark.index >= len(text)
        mark = (error.context_mark if at_end else None) or error.problem_mark or error.context_mark
        at = where(mark.line, mark.column) if mark else where(0, 0)
        raise _UnreadableError(
            at, f"not valid YAML: {_in_plain_words(error.problem or '', error.context or '')}"
        ) from error
    except ReaderError as error:
        at = where(text.count("\n", 0, error.position), error.position - text.rfind("\n", 0, error.position) - 1)
        raise _UnreadableError(
            at, f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        ) from error
    except (OverflowError, ValueError) as error:  # chr() of an escape such as \UFFFFFFFF, int() of endless digits
        raise _UnreadableError(where(0, 0), "not valid YAML: an escape in quotes that names no character") from error


def _in_plain_words(problem: str, context: str) -> str:
    if "'\\t' that cannot start" in problem:
        return "a tab; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second `: ` in one line, or a wrong indentation; put text that holds `: ` in quotes"
    if "could not find expected ':'" in problem:
        return "expected `key: value`"
    if "that cannot start any token" in problem:
        return f"{problem.removeprefix('found ')}; put text that begins with it in quotes"
    if "but found '<block mapping start>'" in problem or "but found '<block end>'" in problem:
        return "a wrong indentation: keys of one section start in the same column"
    if "end of stream" in problem or "<stream end>" in problem:
        for ruamels, plain in ENDS_IN.items():
            if ruamels in context:
                return f"the text ends before {plain}"
    return " ".join(f"{problem} {context}".split())


@dataclass(slots=True)
class _Frame:
    """A mapping or list under way."""

    where: Where
    anchor: str | None
    is_mapping: bool
    path: tuple[str, ...]
    children: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Where] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    merged: list[Node] = field(default_factory=list)
    awaits_key: bool = True
    key: str | None = None  # None while awaiting a value: that value belongs to no usable key
    key_where: Where | None = None
    values: int = 1


class _Builder:
    """Takes events one by one and grows the tree; notes what is wrong and continues where it can."""

    def __init__(self, source: str, in_file: bool) -> None:
        self.source, self.in_file = source, in_file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._stack: list[_Frame] = []
        self._anchors: dict[str, Node | None] = {}  # None: its value is still being read
        self._documents = 0

    def where(self, line: int, column: int) -> Where:
        return Where(line + 1, column + 1, self.source) if self.in_file else Where(0, 0, self.source)

    def take(self, event: Any) -> None:
        where = self.where(event.start_mark.line, event.start_mark.column)
        match type(event).__name__:
            case "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    raise _UnreadableError(where, "a second YAML document begins here; a blueprint is a single one")
            case "MappingStartEvent" | "SequenceStartEvent":
                self._open(event, where, is_mapping=type(event).__name__ == "MappingStartEvent")
            case "MappingEndEvent" | "SequenceEndEvent":
                self._close()
            case "AliasEvent":
                self._put(self._aliased(event.anchor, where), where, plain_text=None)
            case "ScalarEvent":
                if event.value == "" and event.style is None and self._stack and self._stack[-1].key_where:
                    where = self._stack[-1].key_where  # nothing is written: ruamel points at the next line
                node = self._scalar(event, where)
                if event.anchor:
                    self._anchors[event.anchor] = node
                self._put(node, where, event.value)

    @property
    def _path(self) -> tuple[str, ...]:
        """The path of the value that comes next."""
        if not self._stack:
            return ()
        frame = self._stack[-1]
        if not frame.is_mapping:
            return (*frame.path, str(len(frame.items)))
        return frame.path if frame.awaits_key or frame.key is None else (*frame.path, frame.key)

    def _note(self, where: Where, what: str) -> None:
        self.problems.append(Problem(where, ".".join(map(visible, self._path)), what))

    def _open(self, event: Any, where: Where, is_mapping: bool) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise _UnreadableError(where, f"more than {MAX_DEPTH} levels deep; a blueprint has no use for that")
        self._check_tag(event, where)
        frame = _Frame(where, event.anchor, is_mapping, self._path)
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(frame)

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.is_mapping:
            for mapping in frame.merged:
                for key, node in mapping.mapping.items():
                    if key not in frame.children:
                        frame.children[key], frame.keys[key] = node, mapping.keys[key]
            node = collection(frame.children, frame.where, frame.keys)
        else:
            node = collection(tuple(frame.items), frame.where)
        if frame.anchor:
            self._anchors[frame.anchor] = node
        self._put(node, frame.where, plain_text=None)

    def _put(self, node: Node, where: Where, plain_text: str | None) -> None:
        """Add a finished node to the collection around it; `plain_text` is a scalar's own text."""
        if node.depth + len(self._stack) > MAX_DEPTH:
            raise _UnreadableError(where, f"more than {MAX_DEPTH} levels deep; a blueprint has no use for that")
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.values += node.values
        if sum(one.values for one in self._stack) > MAX_VALUES:
            raise _UnreadableError(where, f"more than {MAX_VALUES:,} values, aliases counted as often as they are used")
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.awaits_key:
            self._key(frame, where, plain_text)
        else:
            self._value(frame, node)

    def _key(self, frame: _Frame, where: Where, text: str | None) -> None:
        frame.key, frame.key_where = None, where
        if text is None:
            self._note(where, "a key must be a plain word")
        elif text in frame.children:
            path = ".".join(map(visible, (*frame.path, text)))
            self.problems.append(Problem(where, path, f"is written twice{_earlier(frame.keys[text])}"))
        else:
            frame.key = text
        frame.awaits_key = False

    def _value(self, frame: _Frame, node: Node) -> None:
        assert frame.key_where is not None
        if frame.key == "<<":
            mappings = node.items if isinstance(node.value, tuple) else (node,)
            if all(isinstance(one.value, dict) for one in mappings):
                frame.merged.extend(mappings)
            else:
                self._note(frame.key_where, "<< merges sections: expected an alias of one, such as `<<: *name`")
        elif frame.key is not None:
            frame.children[frame.key], frame.keys[frame.key] = node, frame.key_where
        frame.awaits_key, frame.key = True, None

    def _aliased(self, anchor: str, where: Where) -> Node:
        if anchor not in self._anchors:
            hint = f'put text that begins with * in quotes: "*{visible(anchor)}"'
            raise _UnreadableError(
                where, f"*{visible(anchor)} refers to nothing: there is no &{visible(anchor)} above; {hint}"
            )
        node = self._anchors[anchor]
        if node is None:
            raise _UnreadableError(where, f"*{visible(anchor)} refers to a section that contains it")
        return node

    def _scalar(self, event: Any, where: Where) -> Node:
        value: Scalar = event.value
        tag = self._check_tag(event, where)
        try:
            event.value.encode()
            if "\0" in event.value:
                raise ValueError("the character U+0000 is not allowed")
            if (event.style is None and tag is None) or tag not in (None, f"{STANDARD_TAG}str"):
                value = resolve(event.value)
        except UnicodeEncodeError:
            self._note(where, "half of a surrogate pair is no character")
            value = ""
        except ValueError as error:
            self._note(where, str(error))
            value = None
        return Node(value, where)

    def _check_tag(self, event: Any, where: Where) -> str | None:
        """The tag, if one is written; `!` alone means text."""
        tag = str(event.tag) if event.tag else None
        if tag == "!":
            return f"{STANDARD_TAG}str"
        if tag is not None and tag not in STANDARD_TAGS:
            self._note(
                where, f"a tag ({visible(tag)}) means nothing in a blueprint; put text that begins with ! in quotes"
            )
            return f"{STANDARD_TAG}str"
        return tag


def _earlier(where: Where) -> str:
    return f"; it is already in line {where.line}" if where.line else ""


def visible(text: str, most: int = 60) -> str:
    """A key or value fit for one line of an error: cut when long, escaped when not printable."""
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
