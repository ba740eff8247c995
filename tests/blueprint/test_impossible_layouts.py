"""A layout that model or batches don't allow is an error of the blueprint, at its line, before anything starts."""

from pathlib import Path

import pytest

from groundup.blueprint.load import load
from groundup.blueprint.problems import BlueprintError

HEAD = """name: mine
curate:
  sources: [{kind: files, path: pages}]
pretrain:
  batch_tokens: 1024
  sequence: 128
  model: {layers: 4, width: 256, heads: 4, kv_heads: 2, feed_forward: 768}
"""


def problems(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    path = tmp_path / "b.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(BlueprintError) as raised:
        load(path, overrides)
    return [str(one).removeprefix(f"{path}:") for one in raised.value.problems]


def test_what_no_stage_can_do_is_said_once_where_it_is_written(tmp_path: Path) -> None:
    """With layouts that suit every stage."""
    assert problems(tmp_path, "parallel:\n  dp_shard: 2\n  tp: 4\n") == [
        "10:7: parallel.tp: 2 key-value heads can't be split evenly by tp 4; possible: parallel: {dp_shard: 4, tp: 2} "
        "or {dp_shard: 2, cp: 2, tp: 2} or {dp_replicate: 2, dp_shard: 2, tp: 2}"
    ]


def test_what_one_stage_can_t_do_names_it_and_a_layout_of_its_own(tmp_path: Path) -> None:
    assert problems(tmp_path, "parallel: {dp_shard: 16}\n") == [
        "8:22: parallel.dp_shard: pretrain has 8 sequences a step, too few for dp_replicate x dp_shard = 16; possible: "
        "pretrain.parallel: {dp_shard: 8, tp: 2} or {dp_shard: 8, cp: 2} or {dp_shard: 4, cp: 4}"
    ]
    line, other = problems(tmp_path, "parallel: {engine: megatron, tp: 2}\n")
    assert "and ppo trains another head too" in other
    assert "megatron trains language models, and reward trains another head too; possible: reward.parallel:" in line
    assert line.endswith("{tp: 2} or {dp_shard: 2} or {cp: 2}")


def test_a_stage_s_own_layout_is_blamed_itself(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "sft:\n  batch_examples: 4\n  parallel: {dp_shard: 8}\n")
    assert line.startswith("10:24: sft.parallel.dp_shard: sft has 4 examples a step, too few")
    (line,) = problems(tmp_path, "ppo:\n  rollouts: 20\n  minibatch: 8\n  parallel: {dp_shard: 8}\n")
    assert "ppo has 4 answers a step, too few" in line  # 8, 8 and 4


def test_an_override_is_blamed_as_such(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "", "parallel.cp=3")
    assert line.startswith("--set parallel.cp=3: parallel.cp: sequences of 128 tokens can't be cut into 6 equal chunks")


def test_stages_that_do_not_run_are_not_asked(tmp_path: Path) -> None:
    """With DPO, PPO's minibatches don't matter."""
    path = tmp_path / "b.yaml"
    path.write_text(HEAD + "align: dpo\nppo: {minibatch: 2}\nparallel: {dp_shard: 8}\n")
    assert load(path).blueprint.parallel.processes == 8


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        (("pretrain.compile=measure", "parallel.tp=2"), "parallel.tp: compile doesn't go with tp"),
        (("pretrain.fp8=true", "parallel.tp=2"), "parallel.tp: fp8 doesn't go with tp"),
        (("pretrain.model.dropout=0.1", "parallel.cp=2"), "parallel.cp: dropout doesn't go with cp"),
        (("pretrain.precision=fp16", "parallel.engine=deepspeed"), "parallel.engine: deepspeed trains in fp32 or bf16"),
    ],
)  # fmt: skip
def test_options_that_a_layout_does_not_have(tmp_path: Path, asked: tuple[str, str], refused: str) -> None:
    """They are refused while the blueprint is read, hours before training would refuse them."""
    assert any(refused in line for line in problems(tmp_path, "", *asked))


def test_possible_layouts_load(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(HEAD + "parallel: {dp_replicate: 2, dp_shard: 4, tp: 2, cp: 2}\n")
    assert load(path).blueprint.parallel.processes == 32


def test_deepspeed_s_settings_are_blamed_where_they_are_written(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, "parallel:\n  engine: deepspeed\n  deepspeed:\n    gradient_clipping: 1.0\n")
    assert line.startswith("11:24: parallel.deepspeed.gradient_clipping: `clip_norm` says this already")
    own = "sft:\n  parallel:\n    engine: deepspeed\n    deepspeed: {zero_optimization: {overlap: true}}\n"
    (line,) = problems(tmp_path, own)
    assert "sft.parallel.deepspeed.zero_optimization.overlap: DeepSpeed has no setting" in line
