"""What goes out of a blueprint: it loads again to the same, and every value says where it came from."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.blueprint import gallery
from groundup.blueprint.dump import dump, yaml
from groundup.blueprint.load import load
from groundup.blueprint.show import resolved
from groundup.blueprint.tree import parse
from groundup.section import Section

ORIGIN = re.compile(r"blueprint\.yaml:\d+|--set|default|size \S+: .+ \(.+\)")


@pytest.fixture(params=gallery.names())
def loaded(request, tmp_path):
    gallery.write(request.param, tmp_path)
    return load(tmp_path / "blueprint.yaml", ["pretrain.learning_rate=null", "evaluate.samples=3"])


def test_every_value_has_an_origin(loaded):
    rows = resolved(loaded)
    assert {path for path, _, _ in rows} == set(leaves(loaded.blueprint))
    assert all(ORIGIN.fullmatch(origin) for _, _, origin in rows)
    origins = {path: origin for path, _, origin in rows}
    assert origins["evaluate.samples"] == "--set"
    assert origins["evaluate.bootstrap"] == "default"
    assert re.search(r"arXiv \d{4}\.\d{5}\)$", origins["pretrain.learning_rate"])
    written = {
        f"blueprint.yaml:{number}"
        for number, line in enumerate(loaded.text.splitlines(), 1)
        if line.startswith("name:")
    }
    assert {origins["name"]} == written
    with pytest.raises(KeyError):
        loaded.origin("no.such")


def leaves(section: Section, prefix: str = ""):
    """All dotted paths, written apart from the code under test."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from leaves(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            for index, item in enumerate(value):
                yield from leaves(item, f"{prefix}{name}.{index}.")
        elif name != "notes" or value is not None:
            yield prefix + name


def test_values_come_in_the_order_of_the_file(loaded):
    lines = [int(origin.rpartition(":")[2]) for _, _, origin in resolved(loaded) if origin.startswith("blueprint.yaml")]
    assert lines == sorted(lines) and len(lines) > 10


def test_what_is_dumped_loads_to_the_same(loaded, tmp_path):
    copy = tmp_path / "copy.yaml"
    copy.write_text(dump(loaded), encoding="utf-8")
    again = load(copy)
    assert again.blueprint == loaded.blueprint
    assert again.derived == {}  # every value is written
    assert again.notes() == loaded.notes()


def test_relative_paths_are_rewritten_for_the_folder_where_a_dump_will_lie(tmp_path):
    source, run = tmp_path / "a" / "b.yaml", tmp_path / "runs" / "x"
    source.parent.mkdir()
    run.mkdir(parents=True)
    source.write_text(
        "curate: {sources: [{kind: files, path: docs}, {kind: files, path: /abs}]}\nsft: {data: ../d.jsonl}\n"
    )
    (run / "blueprint.yaml").write_text(dump(load(source), run))
    there = load(run / "blueprint.yaml")
    paths = [one.path for one in there.blueprint.curate.sources] + [there.blueprint.sft.data]
    assert [(run / path).resolve() for path in paths] == [
        tmp_path / "a/docs",
        there.base.root / paths[1],
        tmp_path / "d.jsonl",
    ]


def test_notes_come_back_with_their_section(tmp_path):
    file = tmp_path / "b.yaml"
    file.write_text(
        "notes: top\nsft:\n  notes: |\n    two\n    lines\n"
        "curate: {sources: [{kind: python-docs, notes: s}], rules: {notes: r}}\n"
    )
    assert load(file).notes() == [
        ("", "top"),
        ("sft", "two\nlines\n"),
        ("curate.sources.0", "s"),
        ("curate.rules", "r"),
    ]


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40),
    st.lists(st.text(st.sampled_from("ab :#-'\"|>é\t"), max_size=6), max_size=5).map("\n".join),
    st.sampled_from(
        ["null", "1e3", "0x1F", "yes", "~", "", "- a", "a: b", "\n", "a\n\n", "\na", " a\nb", "a \nb", "9" * 50]
    ),
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.integers(0, 6))
def test_any_text_reads_back_as_itself(text, depth):
    written = f"{' ' * depth}a: {yaml(text, depth + 2)}\n"
    node, problems = parse(written, "x")
    assert not problems and node is not None and node.plain() == {"a": text}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            TEXTS,
            st.none(),
            st.booleans(),
            st.integers(-(2**62), 2**62),
            st.floats(allow_nan=False, allow_infinity=False),
        )
    )
)
def test_any_list_reads_back_as_itself(values):
    node, problems = parse(yaml(values), "x")
    assert not problems and node is not None and node.plain() == values
