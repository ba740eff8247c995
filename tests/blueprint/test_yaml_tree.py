"""The tree of a YAML text holds the values that ruamel.yaml's own loader gives, at their positions."""

import io
import math

from hypothesis import given, reject, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from groundup.blueprint.tree import Node, parse

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]), min_size=1, max_size=8)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False), WORDS
)
VALUES = st.recursive(
    SCALARS,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(WORDS, below, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.booleans())
def test_values_are_those_of_ruamels_loader(value, flow):
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    text = io.StringIO()
    yaml.dump(value, text)
    try:
        theirs = YAML(typ="safe", pure=True).load(text.getvalue())
    except YAMLError:  # it writes some that it can't read itself: `{:0: null}`
        reject()
    node, problems = parse(text.getvalue(), "x")
    assert not problems and node is not None
    assert same(node.plain(), theirs)


def same(mine, theirs) -> bool:
    if isinstance(mine, dict):
        return list(mine) == list(theirs) and all(same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list):
        return len(mine) == len(theirs) and all(map(same, mine, theirs))
    if isinstance(mine, float):
        return math.isclose(mine, theirs)
    return type(mine) is type(theirs) and mine == theirs


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.integers(0, 999), min_size=1, max_size=8),
    st.data(),
)
def test_each_value_has_the_position_of_its_text(values, data):
    lines = []
    for key, value in values.items():
        pad = " " * data.draw(st.integers(1, 5))
        lines += ["# comment", ""][: data.draw(st.integers(0, 2))]
        lines.append(f"{key}:{pad}{value}")
    text = "\n".join(lines)
    node, _ = parse(text, "f.yaml")
    assert node is not None
    for key, value in values.items():
        where, key_where = node.mapping[key].where, node.keys[key]
        assert lines[where.line - 1][where.column - 1 :] == str(value)
        assert lines[key_where.line - 1][key_where.column - 1 :].startswith(f"{key}:")
        assert str(where) == f"f.yaml:{where.line}:{where.column}"


def test_the_core_schema_of_yaml_1_2():
    text = "[yes, NO, on, ~, null, '', 012, 0o17, 0x1F, 1:30, 1., .5, 1e3, 1_000, '3', !!str 3, true, TRUE, 2024-01-01]"
    node, problems = parse(text, "x")
    assert not problems and node is not None
    assert node.plain() == ["yes", "NO", "on", None, None, "", 12, 15, 31, "1:30", 1.0, 0.5, 1000.0, 1000, "3", "3",
                            True, True, "2024-01-01"]  # fmt: skip


def test_paths_find_their_nodes():
    node, _ = parse("a: {b: [{c: 1}, {c: 2}]}", "x")
    assert isinstance(node, Node)
    found = node.at("a.b.1.c")
    assert found is not None and found.value == 2
    assert (
        node.at("") is node and node.at("a.b.2") is None and node.at("a.c.d") is None and node.at("a.b.1.c.d") is None
    )
