"""The gallery's blueprints load, teach every key truthfully, and name a schema that fits them."""

import json
import re

import pytest

from groundup.blueprint import gallery
from groundup.blueprint.load import load
from groundup.blueprint.schema import json_schema
from groundup.errors import GroundupError

TAUGHT = ("python-docs", "files")  # whose comments show every key


def test_the_default_comes_first():
    assert gallery.names()[0] == gallery.DEFAULT == "python-docs"
    assert "files" in gallery.names()


@pytest.mark.parametrize("name", gallery.names())
def test_each_loads_from_where_it_was_written(name, tmp_path):
    blueprint, schema = gallery.write(name, tmp_path / "new" / "folder")
    first = blueprint.read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./{schema.name}"
    assert json.loads(schema.read_text()) == json_schema()
    assert load(blueprint).blueprint.curate.sources


def test_the_two_that_everybody_starts_from_have_notes_and_the_default_size(tmp_path):
    for name in TAUGHT:
        loaded = load(gallery.write(name, tmp_path / name)[0])
        assert loaded.notes() and loaded.blueprint.size == "4M"


def test_a_blueprint_has_a_second_name(tmp_path):
    assert gallery.text("laptop") == gallery.text("python-docs")
    assert gallery.text("own-documents") == gallery.text("files")


def test_what_is_there_is_never_overwritten(tmp_path):
    gallery.write("files", tmp_path)
    before = (tmp_path / "blueprint.yaml").read_text()
    with pytest.raises(GroundupError, match="is there already; choose another folder"):
        gallery.write("python-docs", tmp_path)
    assert (tmp_path / "blueprint.yaml").read_text() == before
    with pytest.raises(GroundupError, match="has no blueprint x; choose one of python-docs, continue-model"):
        gallery.write("x", tmp_path)


@pytest.mark.parametrize("name", TAUGHT)
def test_a_key_that_is_commented_out_can_be_put_in(name, tmp_path):
    """Every `# key: value` line, uncommented, is a blueprint that loads (with the section above it)."""
    lines = gallery.text(name).splitlines()
    candidates = [i for i, line in enumerate(lines) if re.match(r"\s*# (  )*(- )?[a-z_]+:( |$)", line)]
    assert len(candidates) >= 5
    uncommented = list(lines)
    for i in candidates:
        uncommented[i] = re.sub(r"# ", "", lines[i], count=1)
    path = tmp_path / "b.yaml"
    path.write_text("\n".join(uncommented))
    assert load(path).blueprint.curate.sources[1:]


def test_the_schema_knows_what_the_sections_know():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert (
        schema["additionalProperties"] is False and "required" not in schema
    )  # a blueprint that starts at alignment has no documents
    ppo = schema["$defs"]["PpoConfig"]
    assert ppo["properties"]["rollouts"]["description"] == "Answers sampled per iteration."
    assert ppo["properties"]["gae_lambda"]["maximum"] == 1
    assert "arXiv 1707.06347" in ppo["description"]
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)))
    assert references == set(schema["$defs"])
    assert json_schema() == schema
