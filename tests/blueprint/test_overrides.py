"""`--set`: the value lands at its path, and is blamed as such."""

import pytest

from groundup.blueprint.load import load
from groundup.blueprint.problems import BlueprintError

TEXT = """
curate: {sources: [{kind: files, path: a}, {kind: files, path: b}]}
sft: {prefer: [x, y]}
ppo: &same {kl: 0.1}
"""


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "blueprint.yaml"
    file.write_text(TEXT)
    return file


@pytest.mark.parametrize(
    ("override", "dotted", "expected"),
    [
        ("seed=7", "seed", 7),
        ("pretrain.model.rope_theta=5e5", "pretrain.model.rope_theta", 5e5),
        ("curate.sources.1.path=c d", "curate.sources.1.path", "c d"),
        ("sft.prefer=[os.*, re]", "sft.prefer", ["os.*", "re"]),
        ("sft.prefer.0=z", "sft.prefer", ["z", "y"]),
        ("sft.prefer.2=z", "sft.prefer", ["x", "y", "z"]),
        ("sft={epochs: 3}", "sft.prefer", []),
        ("notes=", "seed", 1337),
        ("report.title='a: b'", "report.title", "a: b"),
        ("ppo.kl=0.2", "ppo.kl", 0.2),
    ],
)
def test_a_value_lands_at_its_path(path, override, dotted, expected):
    assert dict(load(path, [override]).leaves())[dotted] == expected


def test_its_origin_is_said(path):
    loaded = load(path, ["ppo.kl=0.2", "curate.sources.0.title=t", "ppo.kl=0.3"])
    assert loaded.blueprint.ppo.kl == 0.3
    assert loaded.origin("ppo.kl") == loaded.origin("curate.sources.0.title") == "--set"
    assert loaded.origin("curate.sources.0.path") == "blueprint.yaml:2"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "--set seed: expected section.key=value, such as pretrain.tokens=2_000_000"),
        ("a..b=1", "--set a..b=1: expected section.key=value, such as pretrain.tokens=2_000_000"),
        ("sft.epochs=x", "--set sft.epochs=x: sft.epochs: expected a number above 0, got 'x'"),
        ("sft.epoch=2", "--set sft.epoch=2: sft.epoch: unknown key; did you mean epochs?"),
        (
            "seed.a=2",
            "--set seed.a=2: seed: expected a whole number of at least 0 and below 4,294,967,296, got a section",
        ),
        ("ppo.kl.a=2", "--set ppo.kl.a=2: ppo.kl is no section: it has no a"),
        ("sft.prefer.5=2", "--set sft.prefer.5=2: sft.prefer is a list of 2 items, counted from 0; 5 is none of them"),
        ("sft.prefer.a=2", "--set sft.prefer.a=2: sft.prefer is a list of 2 items, counted from 0; a is none of them"),
        ("notes=[", "--set notes=[: not valid YAML: the text ends before this list's ] or this section's }"),
        ("pretrain.sequence=999", "--set pretrain.sequence=999: pretrain.sequence: sequences of 999 tokens are longer "
         "than pretrain.model.context, 256"),
    ],
)  # fmt: skip
def test_an_override_is_blamed_as_such(path, override, expected):
    with pytest.raises(BlueprintError) as caught:
        load(path, [override])
    assert str(caught.value) == expected


def test_the_file_is_blamed_for_its_own(path):
    path.write_text(TEXT + "sead: 1\n")
    with pytest.raises(BlueprintError) as caught:
        load(path, ["sft.epoch=2"])
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [f"{path}:5:1", "--set sft.epoch=2"]


def test_a_misspelt_override_may_mean_a_key_that_the_file_has(path):
    path.write_text(TEXT + "pretrain: {learning_rate: 1e-3}\n")
    with pytest.raises(BlueprintError, match=r"unknown key; did you mean learning_rate\?"):
        load(path, ["pretrain.lerning_rate=1"])
