"""`--set a.b=c`: values given on the command line, put into the file's tree with their own blame."""

from collections.abc import Sequence

from groundup.blueprint.problems import Problem, Where
from groundup.blueprint.tree import Node, Scalar, collection, parse, visible


def apply(root: Node | None, overrides: Sequence[str]) -> tuple[Node | None, list[Problem]]:
    """`root` with every `path=value` in it, the last of equal paths winning. Nodes are shared, none is changed.

    The value is read as YAML (`--set 'sft.prefer=[os.*, re.*]'`). A number in the path counts the items of a list
    from 0; one past the last item adds an item.
    """
    problems: list[Problem] = []
    for override in overrides:
        where = Where(0, 0, f"--set {visible(override, 120)}")
        path, equals, text = override.partition("=")
        parts = path.strip().split(".")
        if not equals or not all(parts):
            problems.append(Problem(where, "", "expected section.key=value, such as pretrain.tokens=2_000_000"))
            continue
        value, wrong = parse(text, where.source, in_file=False)
        problems.extend(wrong)
        if wrong:
            continue
        try:
            root = _put(root, parts, value or Node(None, where), where)
        except ValueError as error:
            problems.append(Problem(where, "", str(error)))
    return root, problems


def _put(node: Node | None, parts: list[str], value: Node, where: Where, walked: str = "") -> Node:
    """A copy of `node` with `value` at the path; raises ValueError with the reason where there is no such path."""
    if not parts:
        return value
    part, rest = parts[0], parts[1:]
    here = f"{walked}.{part}" if walked else part
    given: Scalar | dict[str, Node] | tuple[Node, ...] = node.value if node else None
    if isinstance(given, tuple) or (given is None and part.isdecimal()):
        items = given or ()
        if not part.isdecimal() or int(part) > len(items):
            held = f"{len(items)} item{'' if len(items) == 1 else 's'}, counted from 0"
            raise ValueError(f"{walked} is a list of {held}; {visible(part)} is none of them")
        index = int(part)
        child = _put(items[index] if index < len(items) else None, rest, value, where, here)
        return collection((*items[:index], child, *items[index + 1 :]), node.where if node else where)
    if given is not None and not isinstance(given, dict):
        raise ValueError(f"{visible(walked) or 'the blueprint'} is no section: it has no {visible(part)}")
    children = given or {}
    child = _put(children.get(part), rest, value, where, here)
    keys = {**(node.keys if node else {}), part: where}
    return collection({**children, part: child}, node.where if node else where, keys)
