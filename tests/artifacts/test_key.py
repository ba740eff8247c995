"""Keys: what is in them decides, and differences name what changed."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from groundup.artifacts import StageKey

names = st.text("abcß", min_size=1, max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names
values = st.recursive(plain, lambda deeper: st.lists(deeper) | st.dictionaries(names, deeper), max_leaves=6)
configurations = st.dictionaries(names, values, max_size=4)


def key(**changes: Any) -> StageKey:
    return replace(StageKey("toy", 1, {"a": 1}, 7), **changes)


@given(configurations)
def test_the_order_of_a_configuration_does_not_matter(configuration: dict[str, Any]) -> None:
    backwards = dict(reversed(configuration.items()))
    assert key(configuration=configuration).digest == key(configuration=backwards).digest


@given(configurations, configurations)
def test_differences_are_there_exactly_when_digests_differ(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Values that compare equal but are written differently (1, 1.0, True; a None that another lacks) are the
    exceptions: they make another key and show no difference, and no typed section yields both."""

    def same(a: Any, b: Any) -> bool:
        return repr(_sorted(a)) == repr(_sorted(b))

    changed = list(key(configuration=new).differences(key(configuration=old)))
    if changed:
        assert key(configuration=new).digest != key(configuration=old).digest
    if same(old, new):
        assert not changed


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((name, _sorted(one)) for name, one in value.items())
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def test_each_part_changes_the_digest_and_is_named() -> None:
    parts: dict[str, Any] = {
        "version": 2,
        "seed": 8,
        "configuration": {"a": 2},
        "inputs": {"other": "00"},
        "sources": {"file": "00"},
    }
    named = {
        "version": "toy (version of the stage's code)",
        "seed": "seed",
        "configuration": "toy.a",
        "inputs": "input.other",
        "sources": "source.file",
    }
    for part, value in parts.items():
        changed = key(**{part: value})
        assert changed.digest != key().digest
        assert [what for what, _, _ in changed.differences(key())] == [named[part]]


def test_a_value_in_a_list_of_sections_is_named_by_its_index() -> None:
    old = key(configuration={"sources": [{"path": "a"}, {"path": "b", "text": "t"}]})
    new = key(configuration={"sources": [{"path": "a"}, {"path": "b", "text": "u"}]})
    longer = key(configuration={"sources": [{"path": "a"}]})
    assert list(new.differences(old)) == [("toy.sources.1.text", "t", "u")]
    assert [what for what, _, _ in longer.differences(old)] == ["toy.sources"]
