"""`load`: positions of errors are exact, all errors come at once, and nothing but BlueprintError ever comes out."""

import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.alignment.configuration import SftConfig
from groundup.blueprint import gallery
from groundup.blueprint.load import MAX_BYTES, LoadedBlueprint, load
from groundup.blueprint.problems import BlueprintError
from groundup.blueprint.validate import shape

UNNAMED = "curate.sources: no document is named, and pretraining reads them: name at least one source"
LEAST = "curate:\n  sources:\n    - kind: python-docs\n"


@pytest.fixture
def write(tmp_path):
    def write_(text: str | bytes) -> Path:
        path = tmp_path / "blueprint.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_


def errors(path: Path, *overrides: str) -> list[str]:
    """The lines of the error, the folder cut off."""
    with pytest.raises(BlueprintError) as caught:
        load(path, overrides)
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


def test_a_former_key_is_an_error_that_names_the_present_one(write, monkeypatch):
    monkeypatch.setattr(SftConfig, "renamed", {"rounds": "epochs"})
    shape.cache_clear()
    try:
        path = write(f"{LEAST}sft:\n  rounds: 2\n")
        assert errors(path) == ["blueprint.yaml:5:3: sft.rounds: rounds is called epochs now"]
        assert errors(path, "sft.rounds=3")[-1] == "--set sft.rounds=3: sft.rounds: rounds is called epochs now"
    finally:
        shape.cache_clear()


def test_the_least_blueprint_loads_and_is_complete(write):
    loaded = load(write(LEAST))
    pretrain, model = loaded.blueprint.pretrain, loaded.blueprint.pretrain.model
    assert (model.layers, model.width, model.heads, model.kv_heads, model.feed_forward) == (5, 192, 3, 3, 512)
    assert pretrain.tokens and pretrain.batch_tokens and pretrain.learning_rate
    for stage in ("sft", "reward", "ppo", "dpo"):
        assert 0 < getattr(loaded.blueprint, stage).learning_rate <= pretrain.learning_rate
    assert loaded.text == LEAST
    assert loaded.base == loaded.path.parent


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # (line and column are those of the offending key or value, counted by hand)
        ("sead: 3\n", "1:1: sead: unknown key; did you mean seed?"),
        (
            "seed: '12'\n",
            "1:7: seed: expected a whole number of at least 0 and below 4,294,967,296, got '12'; remove the "
            "quotes",
        ),
        ("seed: 1.5\n", "1:7: seed: expected a whole number of at least 0 and below 4,294,967,296, got 1.5"),
        ("seed: true\n", "1:7: seed: expected a whole number of at least 0 and below 4,294,967,296, got true"),
        ("size: 4 M\n", "1:7: size: expected text such as 4M, 124M or 1.5B, got '4 M'"),
        ("size: 4\n", "1:7: size: expected text such as 4M, 124M or 1.5B, got 4"),
        ("align: pppo\n", "1:8: align: expected one of ppo, grpo, dpo, none, got 'pppo'; did you mean ppo?"),
        ("name: 3\n", "1:7: name: expected text such as python-docs or handbook-2, got 3"),
        ("notes: 3\n", "1:8: notes: expected text, or null, got 3; put it in quotes"),
        ("ppo: 3\n", "1:6: ppo: expected a section, with its keys indented below it, got 3"),
        ("width: 3\n", "1:1: width: unknown key; did you mean pretrain.model.width?"),
        (
            "pretrain.tokens: 3\n",
            "1:1: pretrain.tokens: unknown key; write tokens on a line of its own, indented below pretrain",
        ),
        (
            "export:\n  dtype: float3\n",
            "2:10: export.dtype: expected one of float32, bfloat16, float16, got 'float3'; did you mean float32?",
        ),
        (
            "pretrain:\n  tokens: 80M\n",
            "2:11: pretrain.tokens: expected a whole number of at least 1, or null, got '80M'; write 80_000_000",
        ),
        ("pretrain:\n  warmup: 1.5\n", "2:11: pretrain.warmup: expected a number from 0 to 1, got 1.5"),
        ("pretrain:\n  clip_norm: .inf\n", "2:14: pretrain.clip_norm: expected a finite number, got .inf"),
        ("pretrain:\n  tokens: 99999999999999999999\n", "2:11: pretrain.tokens: too large a number"),
        (
            "pretrain:\n  optimizer:\n    betas: [.9]\n",
            "3:12: pretrain.optimizer.betas: expected a list of 2, each a number, got a list of 1",
        ),
        (
            "pretrain:\n  optimizer:\n    betas: [.9, a]\n",
            "3:17: pretrain.optimizer.betas.1: expected a number, got 'a'",
        ),
        (
            "pretrain:\n  model: {tied: yes}\n",
            "2:17: pretrain.model.tied: expected true or false, or null, got 'yes'; did you mean true?",
        ),
        ("pretrain:\n  model: {layer: 3}\n", "2:11: pretrain.model.layer: unknown key; did you mean layers?"),
        (
            "sft:\n  prefer: os.*\n",
            "2:11: sft.prefer: expected a list, got 'os.*'; a list is written [os.*] or with a - before "
            "each item",
        ),
        ("sft:\n  epochs:\n", "2:3: sft.epochs: expected a number above 0, got nothing"),
        ("sft:\n  epochs: 3\n  epochs: 4\n", "3:3: sft.epochs: is written twice; it is already in line 2"),
        (
            "seed: !int 3\n",
            "1:7: seed: a tag (!int) means nothing in a blueprint; put text that begins with ! in quotes",
        ),
        ('name: "\\ud800"\n', "1:7: name: half of a surrogate pair is no character"),
        ("? [a]\n: 3\n", "1:3: a key must be a plain word"),
    ],
)  # fmt: skip
def test_an_error_names_its_position_and_what_was_meant(write, text, expected):
    line, column, _ = expected.split(":", 2)
    assert f"blueprint.yaml:{expected}" in errors(write(text + LEAST))
    assert 1 <= int(line) <= text.count("\n") and int(column) >= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\n", f"1:1: {UNNAMED}"),
        ("name: x\ncurate: {heldout: .1}\n", f"2:9: {UNNAMED}"),
        ("curate: {sources: []}\n", f"1:19: {UNNAMED}"),
        (
            "curate: {sources: [{path: a}]}\n",
            "1:20: curate.sources.0.kind: is missing: expected one of files, python-docs, remote",
        ),
        (
            "curate: {sources: [{kind: file}]}\n",
            "1:27: curate.sources.0.kind: expected one of files, python-docs, remote, got 'file'; did you mean files?",
        ),
        ("curate: {sources: [{kind: files, pth: a}]}\n", "1:34: curate.sources.0.pth: unknown key; did you mean path?"),
        ("curate: {sources: [{kind: files}]}\n", "1:20: curate.sources.0.path: is missing: expected a path"),
        (
            "curate: {sources: [{kind: python-docs, path: a}]}\n",
            "1:40: curate.sources.0.path: unknown key; did you mean curate.sources.path (kind: files) or "
            "curate.contamination.sets.path?",
        ),
        (
            "curate: {sources: [3]}\n",
            "1:20: curate.sources.0: expected a section, with its keys indented below it, got 3",
        ),
        (
            "a: b: c\n",
            "1:5: not valid YAML: a second `: ` in one line, or a wrong indentation; put text that holds `: "
            "` in quotes",
        ),
        ("a:\n\tb: 1\n", "2:1: not valid YAML: a tab; indent with spaces"),
        ("a: [1, 2\n", "1:4: not valid YAML: the text ends before this list's ]"),
        ("a: 'x\n", "1:4: not valid YAML: the text ends before this text's closing quote"),
        (
            "a: @b\n",
            "1:4: not valid YAML: character '@' that cannot start any token; put text that begins with it "
            "in quotes",
        ),
        ("a: *b\n", '1:4: *b refers to nothing: there is no &b above; put text that begins with * in quotes: "*b"'),
        ("a: &a [*a]\n", "1:8: *a refers to a section that contains it"),
        ("a: 1\n---\nb: 2\n", "2:1: a second YAML document begins here; a blueprint is a single one"),
        ("", "1:1: is empty; `groundup new DIR` writes one to start from"),
        ("# nothing\n", "1:1: is empty; `groundup new DIR` writes one to start from"),
        ("- a\n", "1:1: expected keys such as `curate:`, got a list"),
        ("hello\n", "1:1: expected keys such as `curate:`, got a single value"),
    ],
)  # fmt: skip
def test_what_is_missing_or_no_yaml_is_said_as_plainly(write, text, expected):
    assert errors(write(text)) == [f"blueprint.yaml:{expected}"]


def test_all_errors_of_a_file_come_at_once_in_its_order(write):
    path = write(
        "seed: -1\nsead: 1\nppo: {clip: 0, clips: 1}\nsft: {epochs: 0, data: 3}\ncurate: {sources: [{kind: x}]}\n"
    )
    positions = [line.split(": ")[0] for line in errors(path, "dpo.beta=0", "dpo.bta=1")]
    expected = ["1:7", "2:1", "3:13", "3:16", "4:15", "4:24", "5:27"]
    assert positions == [
        *(f"blueprint.yaml:{position}" for position in expected),
        "--set dpo.beta=0",
        "--set dpo.bta=1",
    ]


def test_every_unknown_key_is_found_but_only_some_are_shown(write):
    lines = errors(write(LEAST + "".join(f"key{i}: 1\n" for i in range(60))))
    assert len(lines) == 51 and lines[-1] == "... and 10 more"


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (
            "pretrain: {model: {width: 100, heads: 3}}",
            "pretrain.model.heads",
            "a width of 100 can't be split into 3 heads; choose a divisor of 100",
        ),
        (
            "pretrain: {model: {width: 101}}",
            "pretrain.model.width",
            "a width of 101 over 1 makes heads of 101; RoPE needs an even size",
        ),
        (
            "pretrain: {model: {heads: 4, kv_heads: 3}}",
            "pretrain.model.kv_heads",
            "4 query heads can't be divided evenly among 3 key-value heads; choose a divisor of 4",
        ),
        (
            "pretrain: {model: {architecture: gpt2, heads: 4, kv_heads: 2}}",
            "pretrain.model.kv_heads",
            "gpt2 has as many key-value heads as heads, 4; remove kv_heads, or choose another architecture",
        ),
        (
            "pretrain: {model: {window: 64}}",
            "pretrain.model.window",
            "qwen3 has no window; remove it, or choose the architecture mistral",
        ),
        (
            "pretrain: {sequence: 512}",
            "pretrain.sequence",
            "sequences of 512 tokens are longer than pretrain.model.context, 256",
        ),
        (
            "pretrain: {batch_tokens: 64}",
            "pretrain.batch_tokens",
            "a batch of 64 tokens holds no sequence for each micro-batch (pretrain.sequence 128 x "
            "pretrain.accumulate 1)",
        ),
        (
            "ppo: {max_answer_tokens: 256}",
            "ppo.max_answer_tokens",
            "answers of 256 tokens leave no room for a question in pretrain.model.context, 256",
        ),
        ("ppo: {rollouts: 8}", "ppo.rollouts", "minibatches of 64 are larger than the 8 rollouts"),
        ("sft: {data: ~no-one/x}", "sft.data", "there is no user no-one, whose folder ~no-one would be"),
        ("size: 0M", "size", "expected more than no parameters"),
        ("size: 999999B", "size", "expected at most 6.9e+12 parameters, the most that 512 layers can hold"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_together_blame_a_key_that_is_written(write, text, path, expected):
    (line,) = errors(write(f"{LEAST}{text}\n"))
    key = path.rpartition(".")[2]
    value_at = text.index(f"{key}: ") + len(key) + 3
    assert line == f"blueprint.yaml:4:{value_at}: {path}: {expected}"


def test_rules_that_exclude_each_other_are_refused(write):
    path = write("curate:\n  sources: [{kind: python-docs}]\n  rules: {min_words: 9, max_words: 3}\n")
    assert errors(path) == ["blueprint.yaml:3:22: curate.rules.min_words: min_words 9 is above max_words 3"]


@pytest.mark.parametrize(
    ("section", "row"),
    [
        ("sft", {"prompt": "Q"}),
        ("reward", {"prompt": "Q", "chosen": "A"}),
        ("grpo", {"prompt": "Q", "verifier": "none such"}),
        ("evaluate", {"prompt": "Q"}),
    ],
)
def test_data_of_later_stages_is_read_before_anything_runs(write, section, row):
    """Hours of pretraining don't end in a row that can't be used."""
    loaded = load(write(f"{LEAST}{section}:\n  data: rows.jsonl\n"))
    (loaded.base / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(BlueprintError) as caught:
        loaded.check_files()
    message = next(line for line in str(caught.value).splitlines() if f"{section}.data" in line)
    assert "1 of 1 rows can't be used" in message and "rows.jsonl:1: " in message


def test_files_that_are_not_there_are_named_with_their_line(write):
    loaded = load(write("curate:\n  sources:\n    - {kind: files, path: no/such}\nsft:\n  data: none.jsonl\n"))
    with pytest.raises(BlueprintError) as caught:
        loaded.check_files()
    first, second = str(caught.value).splitlines()
    assert first == f"{loaded.path}:3:27: curate.sources.0.path: there is no file or folder {loaded.base}/no/such"
    assert second == f"{loaded.path}:5:9: sft.data: there is no file or folder {loaded.base}/none.jsonl"
    (loaded.base / "no" / "such").mkdir(parents=True)
    (loaded.base / "none.jsonl").write_text('{"prompt": "Q", "answer": "A"}\n')
    loaded.check_files()


def test_files_that_can_not_be_blueprints(write, tmp_path):
    assert errors(tmp_path / "none.yaml") == [
        "none.yaml: there is no such file; `groundup new DIR` writes one to start from"
    ]
    with pytest.raises(BlueprintError, match=r"is a folder, not a blueprint$"):
        load(tmp_path)
    write(LEAST)
    with pytest.raises(BlueprintError, match=r"is a folder, not a blueprint; did you mean .*blueprint.yaml\?"):
        load(tmp_path)
    text = "name: a\nnotes: gr\xfc\xdfe\n".encode("latin-1")
    assert errors(write(text)) == ["blueprint.yaml:2:10: is not UTF-8 text (byte 0xfc); save it as UTF-8"]
    assert "is larger than 1 MB" in errors(write("#" * 99 + "\n" + "# x\n" * (MAX_BYTES // 4)))[0]
    assert load(write(b"\xef\xbb\xbf" + LEAST.encode())).blueprint.seed == 1337  # a byte order mark is no error


@pytest.mark.parametrize("name", ["plain", "quoted", "comments", "open", "dashes", "tag", "laugh", "merge", "keys"])
def test_no_file_makes_the_reader_hang(write, name):
    letters = "abcdefghijklmno"
    text = {
        "plain": "name: " + "x" * 400_000,
        "quoted": '"' + "\\n" * 60_000,
        "comments": "# x\n" * 200_000,
        "open": "[" * 60_000,
        "dashes": "- " * 30_000,
        "tag": "!" * 500_000,
        "laugh": "a: &a [x, x, x]\n"
        + "".join(f"{new}: &{new} [*{old}, *{old}, *{old}]\n" for old, new in pairwise(letters)),
        "merge": "a: &a {"
        + ",".join(f"k{i}: 1" for i in range(900))
        + "}\n"
        + "".join(f"m{i}: {{<<: *a}}\n" for i in range(900)),
        "keys": "".join(f"{'k' * 60}{i}: 1\n" for i in range(6_000)),
    }[name]  # fmt: skip
    began = time.monotonic()
    with pytest.raises(BlueprintError):
        load(write(text))
    assert time.monotonic() - began < 10


def test_anchors_aliases_and_merges_work(write):
    text = """
curate: {sources: [{kind: python-docs}]}
sft: &loop
  clip_norm: 0.5
  accumulate: 2
  optimizer: &adam {eps: 1e-6}
reward:
  <<: {accumulate: 3, clip_norm: 0.25}
  accumulate: 4
dpo: {optimizer: *adam}
"""
    loaded = load(write(text))
    blueprint = loaded.blueprint
    assert blueprint.dpo.optimizer.eps == 1e-6 and loaded.origin("dpo.optimizer.eps") == "blueprint.yaml:6"
    assert (blueprint.reward.accumulate, blueprint.reward.clip_norm) == (4, 0.25)


def test_a_section_with_nothing_in_it_is_as_good_as_absent(write):
    empty = load(write(f"{LEAST}pretrain:\n  # tokens: 3\n  model:\nppo:\n")).blueprint
    assert empty == load(write(LEAST)).blueprint


def test_numbers_are_read_as_people_write_them(write):
    text = f"{LEAST}pretrain: {{learning_rate: 3e-4, tokens: 1_500_000, clip_norm: 1, batch_tokens: 0x400}}\n"
    pretrain = load(write(text)).blueprint.pretrain
    assert (pretrain.learning_rate, pretrain.tokens, pretrain.batch_tokens) == (3e-4, 1_500_000, 1024)
    assert pretrain.clip_norm == 1.0 and isinstance(pretrain.clip_norm, float)


BASE = gallery.text("files")
PIECES = ["&a ", "*a", "<<: *a", "!!str ", "!x ", "---\n", "%YAML 1.1\n", "? ", "- ", ".inf", "1e999", "9" * 50,
          "|2-\n", ">+\n", "\t", "\r\n", "\ufeff", "\u2028", "\x85", "'", '"', '"\\U99999999"', '"\\ud800"', "{", "}",
          "[", "]", ": ", "#", "\n  ", "curate: ", "sources:\n", "null", "yes", "é", "😀", "\0", "\\"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_text_loads_or_gives_a_blueprint_error(tmp_path_factory, data):
    """Mutations of a whole blueprint, and text from nothing, with pieces that YAML gives a meaning to."""
    piece = st.one_of(st.sampled_from(PIECES), st.text(max_size=4))
    if data.draw(st.booleans()):
        text = "".join(data.draw(st.lists(piece, max_size=25)))
    else:
        text = BASE
        for _ in range(data.draw(st.integers(1, 5))):
            at = data.draw(st.integers(0, len(text)))
            text = text[:at] + data.draw(piece) + text[at + data.draw(st.sampled_from([0, 0, 1, 5, 40])) :]
    path = tmp_path_factory.mktemp("any") / "blueprint.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        loaded = load(path)
    except BlueprintError as error:
        assert str(error) and all(line.isprintable() for line in str(error).splitlines())
    else:
        assert isinstance(loaded, LoadedBlueprint) and loaded.blueprint.pretrain.model.width


def test_loading_needs_neither_torch_nor_much_time(write):
    code = (
        "import sys, time; began = time.process_time()\n"
        "from pathlib import Path; from groundup.blueprint.load import load; load(Path(sys.argv[1]))\n"
        "print(time.process_time() - began)\n"
        "assert not {'torch', 'numpy', 'numba', 'pyarrow'} & set(sys.modules)"
    )
    path = write(gallery.text("python-docs"))
    command = [sys.executable, "-c", code, path]
    runs = [float(subprocess.run(command, capture_output=True, check=True, text=True).stdout) for _ in range(3)]
    assert min(runs) < 1.8  # processor seconds, imports counted in: 0.2 to .7 on idle cores, twice that on busy ones
