"""A plan's figures follow from its formulas, move the right way, and give way to what is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.blueprint import gallery
from groundup.blueprint.load import load
from groundup.planning.advice import advice, compute_optimal, duration, headline, short, size, table
from groundup.planning.corpus import bytes_per_token, text_bytes
from groundup.planning.estimate import plan
from groundup.planning.forecast import Plan
from groundup.planning.machine import Machine
from groundup.planning.memory import activation_bytes, cache_bytes, chunked_logits_bytes
from groundup.planning.size import shape_for

CALIBRATION = Machine(cores=2, core_flops=88e9, bf16=True, memory=24 * 10**9, disk=80 * 10**9)
STAGES = ["curate", "tokenizer", "tokens", "pretrain", "sft", "reward", "ppo", "evaluate", "export", "report"]

MEASURED = Path(__file__).with_name("measured.yaml")


def planned(tmp_path, *overrides: str, machine: Machine = CALIBRATION, name: str = "measured", **known) -> Plan:
    path = tmp_path / f"{name}.yaml"
    path.write_text(MEASURED.read_text(encoding="utf-8") if name == "measured" else gallery.text(name))
    return plan(load(path, overrides).blueprint, machine, **known)


def test_the_calibration_point_is_met(tmp_path):
    """4 M parameters ran at about 12,000 tokens/s in training on such a machine (facts/pretraining.md)."""
    stage = planned(tmp_path).stage("pretrain")
    assert stage.tokens / stage.seconds == pytest.approx(12_000, rel=0.15)


def test_every_stage_is_planned_in_order(tmp_path):
    found = planned(tmp_path)
    assert list(found.seconds) == STAGES
    assert list(planned(tmp_path, "align=dpo").seconds) == [*STAGES[:5], "dpo", *STAGES[7:]]
    assert all(stage.seconds > 0 and stage.memory_bytes > 0 for stage in found.stages)


def test_parameters_by_part_add_up(tmp_path):
    for overrides in ((), ("pretrain.model.tied=false",), ("size=30M",)):
        found = planned(tmp_path, *overrides)
        assert sum(found.parameters.values()) == found.model.num_parameters


def test_matmuls_that_are_compiled_for_each_shape_are_counted(tmp_path):
    compiled = planned(tmp_path).stage("sft").memory["compiled matmuls"]
    assert compiled > planned(tmp_path).stage("pretrain").memory["compiled matmuls"]  # which sees one shape
    assert "compiled matmuls" not in planned(tmp_path, "pretrain.precision=fp32").stage("sft").memory
    other = replace(CALIBRATION, compiles_fp32=True)  # AVX-512 that is not Intel's
    fp32 = planned(tmp_path, "pretrain.precision=fp32", machine=other).stage("sft").memory
    assert fp32["compiled matmuls"] == compiled


def test_checkpointing_keeps_less(tmp_path):
    kept = [
        planned(tmp_path, f"pretrain.activation_checkpointing={mode}").stage("pretrain").memory["activations"]
        for mode in ("none", "selective", "full")
    ]
    assert kept == sorted(kept, reverse=True) and len(set(kept)) == 3


@settings(max_examples=50, deadline=None)
@given(st.integers(50_000, 10**9), st.sampled_from([300, 32_000]))
def test_parameters_by_part_add_up_for_any_size(target, vocabulary):
    model = shape_for(target, vocabulary)
    assert sum(model.parts.values()) == model.num_parameters


def test_pretraining_counts_by_hand(tmp_path):
    plain = ("pretrain.model.architecture=llama", "pretrain.model.unit_start=false")
    plain += ("pretrain.optimizer.name=adamw", "pretrain.tokens=1_000_000")
    found = planned(tmp_path, *plain, "pretrain.batch_tokens=1000", "pretrain.accumulate=2")
    stage, n = found.stage("pretrain"), 4_000_000
    assert stage.steps == 977  # of two micro-batches of 4 sequences of 128
    grown = planned(tmp_path, *plain, "pretrain.batch_tokens=1024", "pretrain.batch_warmup={}")
    assert grown.stage("pretrain").steps == 260 + 130 + 65 + 880  # of 1, 2, 4 and 8 sequences
    norms = 9 * 256  # no matmuls
    assert stage.flops == 1_000_000 * (6 * (n - norms) + 12 * 4 * 256 * 128)
    assert stage.memory["weights"] == stage.memory["gradients"] == 4 * n
    assert stage.memory["optimizer state"] == 8 * n and stage.memory["bf16 copies"] == 2 * n
    assert stage.memory["activations"] == activation_bytes(found.model, 500, "bf16")
    assert stage.memory["logits"] == chunked_logits_bytes(found.model, 500, "bf16")
    assert stage.disk == {"checkpoints": 24 * n, "model": 4 * n}
    assert "bf16 copies" not in planned(tmp_path, *plain, "pretrain.precision=fp32").stage("pretrain").memory
    assert planned(tmp_path, *plain, "pretrain.precision=fp16").stage("pretrain").memory["fp16 copies"] == 2 * n


def test_cache_counts_by_hand():
    model = shape_for(4_000_000, 4096)  # 4 layers, 2 key-value heads of 64
    assert cache_bytes(model, 128, 60, "fp32") == 2 * 4 * 128 * 60 * 2 * 64 * 4
    assert cache_bytes(model, 128, 60, "fp16") == cache_bytes(model, 128, 60, "bf16")
    assert cache_bytes(model, 128, 60, "bf16") == cache_bytes(model, 128, 60, "fp32") / 2


@pytest.mark.parametrize(
    ("stage", "override"),
    [
        ("pretrain", "pretrain.tokens=3_000_000"),
        ("pretrain", "size=8M"),
        ("sft", "sft.subjects=2400"),
        ("sft", "sft.epochs=100"),
        ("reward", "reward.pairs_per_subject=8"),
        ("ppo", "ppo.iterations=60"),
        ("ppo", "ppo.rollouts=512"),
        ("ppo", "ppo.epochs=4"),
        ("curate", f"curate.sources.0.packages=[{', '.join('abcdefghijklmnopqrstuvwxyz')}]"),
    ],
)
def test_more_work_takes_longer(tmp_path, stage, override):
    assert planned(tmp_path, override).seconds[stage] > 1.2 * planned(tmp_path).seconds[stage]


def test_disk_holds_one_stages_checkpoints_at_a_time(tmp_path):
    found = planned(tmp_path)
    checkpoints = sorted(stage.disk.get("checkpoints", 0) for stage in found.stages)
    rest = sum(stage.disk_bytes for stage in found.stages) - sum(checkpoints)
    assert found.disk_bytes == rest + checkpoints[-1]


def test_what_is_known_replaces_what_is_assumed(tmp_path):
    guess = planned(tmp_path)
    known = planned(
        tmp_path,
        figures={
            "curate": {"bytes": 1_000_000, "funnel": [{"step": "read", "documents": 10, "bytes": 1_500_000}]},
            "tokens": {"train": {"tokens": 300_000}, "vocabulary": 3000},
            "sft": {"questions": 600},
            "reward": {"pairs": 160},
        },
    )
    assert (known.corpus.raw_bytes, known.corpus.kept_bytes, known.corpus.tokens) == (1_500_000, 1_000_000, 300_000)
    assert known.model.vocab_size == 3000
    assert known.stage("reward").steps == 10
    assert known.stage("sft").steps == math.ceil(25 * 600 / 32)
    assert any("of the text is kept" in line for line in guess.assumed)
    assert not any("bytes a token" in line or "is kept" in line for line in known.assumed)


def test_the_users_files_are_looked_at(tmp_path):
    folder = tmp_path / "documents" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"x" * 1000)
    (folder / "b.jsonl.gz").write_bytes(b"x" * 100)
    assert text_bytes(tmp_path / "documents") == (1400, 0)
    assert text_bytes(folder / "a.txt") == (1000, 0) and text_bytes(tmp_path / "none") is None
    assert planned(tmp_path, name="files", base=tmp_path).corpus.raw_bytes == 1400
    assumed = planned(tmp_path, name="files").assumed
    assert "10 MB of text in documents" in assumed


def test_bytes_per_token_grow_with_the_vocabulary():
    found = [bytes_per_token(vocabulary) for vocabulary in (300, 1000, 4096, 5000, 50_000, 10**6)]
    assert found == sorted(found) and bytes_per_token(4096) == bytes_per_token(5000)


def test_advice_is_silent_where_all_fits(tmp_path):
    assert advice(planned(tmp_path)) == []


@pytest.mark.parametrize(
    ("overrides", "machine", "expected"),
    [
        (("size=3B", "pretrain.tokens=2_000_000"), {}, "pretrain, sft, reward, ppo, evaluate, export: up to"),
        (("pretrain.batch_tokens=4_194_304",), {}, "multiply pretrain.accumulate by"),
        (("ppo.rollouts=2000", "ppo.minibatch=2000"), {"memory": 2 * 10**9}, "divide ppo.minibatch by"),
        (("pretrain.tokens=10_000_000_000",), {}, "takes an hour; or choose a smaller size"),
        (("sft.epochs=100000",), {}, "lower sft.epochs or sft.subjects"),
        (("pretrain.tokens=100_000_000",), {}, "times it teaches less and less"),
        (("pretrain.batch_tokens=65536",), {}, "pretrain takes only 23 optimizer steps"),
        (("tokenizer.vocabulary=64000",), {}, "of the parameters are the embedding of 64,000 tokens"),
        ((), {"disk": 10**8}, "make room, or choose another folder with --run"),
    ],
)
def test_advice_names_the_key_to_change(tmp_path, overrides, machine, expected):
    fields = {"memory": 24 * 10**9, "disk": 10**12} | machine
    lines = advice(planned(tmp_path, *overrides, machine=Machine(2, 88e9, True, **fields)))
    assert any(expected in line for line in lines), lines


def test_more_rollouts_take_no_more_memory(tmp_path):
    """So many answers are sampled together, and no more."""
    few, many = (planned(tmp_path, f"ppo.rollouts={n}").stage("ppo").memory_bytes for n in (1_000, 100_000))
    assert many < 1.1 * few


def test_advice_followed_is_advice_no_more(tmp_path):
    batch = "pretrain.batch_tokens=4_194_304"
    (line,) = [line for line in advice(planned(tmp_path, batch)) if "accumulate" in line]
    times = int(line.rpartition(" ")[2])
    assert not any("accumulate" in line for line in advice(planned(tmp_path, batch, f"pretrain.accumulate={times}")))


def test_the_compute_optimal_ratio_is_shown(tmp_path):
    line = compute_optimal(planned(tmp_path))
    assert line.startswith("0.4 tokens per parameter; compute-optimal for this size would be ")


def test_what_a_person_reads(tmp_path):
    found = planned(tmp_path)
    line = headline(found)
    assert "\n" not in line and line.startswith("3.8 M parameters (5 layers of 192), 1.5 M tokens")
    rows = table(found)
    assert len({len(row) for row in rows}) == 1 and [row[0] for row in rows] == ["stage", *STAGES, "in all"]
    assert [short(812), short(4e6), size(812e6), size(2.4e9)] == ["812", "4.0 M", "812 MB", "2.4 GB"]
    assert [duration(x) for x in (40, 720, 12_600, 800_000)] == ["40 seconds", "12 minutes", "3.5 hours", "9 days"]
