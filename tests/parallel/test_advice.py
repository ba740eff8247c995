"""Impossible layouts are reported before anything starts, with the nearest possible ones: against brute force."""

from itertools import product
from math import log2, prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from groundup.alignment.configuration import RewardConfig
from groundup.alignment.reward import RewardModel
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.parallel.advice import DEGREES, Needs, misfits, nearest, shown
from groundup.parallel.configuration import ParallelConfig
from groundup.training.configuration import PretrainConfig
from groundup.training.engines import engine_for


def needs(stage: str = "pretrain", rows: int = 8, sequence: int | None = 64, shape: Any = None, **rest: Any) -> Needs:
    return Needs(stage, shape or tiny.shape(), rows, "sequences", sequence=sequence, **rest)


def said(needed: Needs, **parallel: Any) -> list[str]:
    return [f"{one.key}: {one.what}" for one in misfits(ParallelConfig(**parallel), needed)]


UNIT = tiny.shape(embedding_norm=True, tie_word_embeddings=False)
MIXTURE = {"num_experts": 4, "moe_intermediate_size": 48}


@pytest.mark.parametrize(
    ("needed", "parallel", "what"),
    [
        (needs(), {"tp": 3}, "tp: 4 heads can't be split evenly by tp 3"),
        (needs(), {"tp": 4}, "tp: 2 key-value heads can't be split evenly by tp 4"),
        (needs(shape=tiny.shape(intermediate_size=49)), {"tp": 2}, "tp: 49 columns of the feed-forward matrices"),
        (needs(accumulate=4), {"pp": 3}, "pp: 2 layers can't be cut into 3 stages"),
        (needs(accumulate=4), {"pp": 2, "schedule": "interleaved"}, "pp: 2 layers can't be cut into 4 stages"),
        (needs(), {"pp": 2}, "pp: the schedule 1f1b can't keep pp 2 busy with 1 micro-batch; set pretrain"),
        (needs("reward", language_model=False), {"pp": 2}, "pp: what reward trains has another head"),
        (needs(sequence=60), {"cp": 4}, "cp: sequences of 60 tokens can't be cut into 8 equal chunks"),
        (needs("sft", sequence=None, accumulate=2), {"cp": 2, "pp": 2}, "cp: cp and pp go together in pretraining"),
        (needs(rows=3), {"dp_shard": 4}, "dp_shard: pretrain has 3 sequences a step, too few for dp_replicate x"),
        (needs(rows=3, accumulate=2), {"dp_replicate": 4}, "dp_replicate: pretrain has 3 sequences a step in each of"),
        (needs(), {"ep": 2, "dp_shard": 2}, "ep: the model has no experts"),
        (needs(shape=tiny.shape(**MIXTURE)), {"ep": 2}, "ep: ep 2 is no divisor of dp_shard 1"),
        (needs(shape=tiny.shape(**MIXTURE)), {"ep": 3, "dp_shard": 3}, "ep: 4 experts can't be split evenly by ep 3"),
        (needs(), {"offload": True}, "offload: offload keeps shards in the CPU's memory, and nothing is sharded"),
        (needs(), {"engine": "deepspeed", "tp": 2}, "tp: the engine deepspeed shards over dp_shard alone"),
        (needs(), {"engine": "deepspeed", "dp_replicate": 2}, "dp_replicate: the engine deepspeed shards"),
        (needs(optimizer="muon"), {"engine": "deepspeed"}, "engine: deepspeed trains by adamw"),
        (needs(), {"deepspeed": {"a": 1}}, "deepspeed: these are DeepSpeed's settings, and the engine is torch"),
        (needs(), {"engine": "megatron", "dp_shard": 2, "dp_replicate": 2}, "dp_replicate: megatron shards"),
        (needs("ppo", language_model=False), {"engine": "megatron"}, "engine: megatron trains language models"),
        (needs(shape=tiny.shape(**MIXTURE)), {"engine": "megatron"}, "engine: megatron, as it is used here"),
        (needs(shape=tiny.shape(resid_pdrop=0.1)), {"engine": "megatron"}, "engine: megatron, as it is used"),
        (needs(shape=tiny.shape(mlp_bias=True)), {"engine": "megatron"}, "engine: megatron has one switch for"),
        (needs(accumulate=4), {"engine": "megatron", "pp": 2, "schedule": "gpipe"}, "schedule: megatron has no"),
        (needs(precision="fp16"), {"engine": "deepspeed"}, "engine: deepspeed trains in fp32 or bf16"),
        (needs(shape=tiny.shape(resid_pdrop=0.1)), {"tp": 2}, "tp: dropout doesn't go with tp"),
        (needs(compiled=True), {"tp": 2}, "tp: compile doesn't go with tp"),
        (needs(compiled=True), {"engine": "deepspeed"}, "engine: compile doesn't go with deepspeed"),
        (needs(compiled=True, accumulate=4), {"pp": 2, "schedule": "zero_bubble"}, "schedule: compile doesn't go"),
        (needs(float8=True), {"cp": 2}, "cp: fp8 doesn't go with cp"),
        (needs(frozen=True), {"engine": "megatron"}, "engine: megatron trains all of a model, and pretrain trains a"),
        (needs(frozen=True), {"tp": 2}, "tp: lora doesn't go with tp"),
        (needs(shape=tiny.shape(smear=True)), {"tp": 2}, "tp: a model with smear (architecture: fast) doesn't go"),
        (needs(shape=tiny.shape(backout=True), accumulate=4), {"pp": 2}, "pp: a model with backout (architecture:"),
        (needs(shape=tiny.shape(backout=True)), {"engine": "megatron"}, "engine: megatron, as it is used here, has no"),
        (needs(shape=UNIT), {"engine": "megatron"}, "engine: megatron, as it is used here, has no norm after"),
        (needs(layers_recorded=True), {"engine": "megatron"}, "engine: megatron's layers can't be watched"),
        (needs(recompute="selective", accumulate=4), {"pp": 2, "schedule": "zero_bubble"}, "schedule: activation_ch"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(needed: Needs, parallel: dict[str, Any], what: str) -> None:
    (line,) = said(needed, **parallel)
    assert line.startswith(what)


@pytest.mark.parametrize(
    ("needed", "parallel"),
    [
        (needs(), {}),
        (needs(), {"dp_shard": 8}),
        (needs(), {"dp_replicate": 2, "dp_shard": 3, "tp": 2, "cp": 4}),
        (needs(accumulate=2), {"pp": 2, "cp": 2}),
        (needs(accumulate=4), {"pp": 2, "schedule": "zero_bubble"}),
        (needs("reward", sequence=None, language_model=False), {"tp": 2, "cp": 3, "dp_shard": 2}),
        (needs(shape=tiny.shape(**MIXTURE)), {"ep": 2, "dp_shard": 4}),
        (needs(optimizer="muon"), {"dp_shard": 2}),
        (needs(precision="fp16"), {"dp_shard": 2, "tp": 2}),
        (needs(compiled=True, accumulate=2), {"dp_replicate": 2, "dp_shard": 2, "pp": 2}),
        (needs(float8=True), {"dp_shard": 2}),
        (needs(shape=tiny.shape(resid_pdrop=0.1)), {"dp_shard": 2}),
        (needs(), {"engine": "deepspeed", "dp_shard": 8, "zero_stage": 1, "offload": True}),
        (needs(accumulate=2), {"engine": "megatron", "dp_replicate": 2, "tp": 2, "cp": 2, "pp": 2}),
    ],
)
def test_what_is_possible_passes(needed: Needs, parallel: dict[str, Any]) -> None:
    assert said(needed, **parallel) == []


def test_the_nearest_come_first_and_read_like_a_blueprint() -> None:
    assert shown(nearest(ParallelConfig(tp=4, dp_shard=2), [needs()])[0]) == "{dp_shard: 4, tp: 2}"
    assert shown(nearest(ParallelConfig(tp=8), [needs(rows=1, sequence=2)])[0]) == "{tp: 2}"  # of fewer processes
    both = [needs(), needs("reward", 4, None, language_model=False)]
    assert shown(nearest(ParallelConfig(dp_shard=8), both)[0]) == "{dp_shard: 4, tp: 2}"
    assert nearest(ParallelConfig(engine="megatron"), [needs("ppo", language_model=False)]) == []
    assert shown(ParallelConfig()) == "{dp_shard: 1}"
    assert shown(ParallelConfig(engine="megatron", pp=2, schedule="interleaved", tp=2)) == (
        "{engine: megatron, tp: 2, pp: 2, schedule: interleaved}"
    )


SHAPES = st.builds(
    lambda kv, groups, layers, inner, experts: tiny.shape(
        hidden_size=2 * kv * groups, num_attention_heads=kv * groups, num_key_value_heads=kv, num_hidden_layers=layers,
        intermediate_size=inner, num_experts=experts, moe_intermediate_size=inner,
    ),
    st.integers(1, 6), st.integers(1, 4), st.integers(1, 7), st.integers(1, 8).map(lambda n: 12 * n),
    st.sampled_from([0, 2, 4, 6]),
)  # fmt: skip


@st.composite
def asked(draw: Any) -> tuple[ParallelConfig, list[Needs]]:
    """A layout and the stages of one model that it is for."""
    shape: LLMConfig = draw(SHAPES)
    names = draw(st.lists(st.sampled_from(["pretrain", "sft", "reward"]), min_size=1, max_size=3, unique=True))
    every = [
        Needs(
            name,
            shape,
            rows=draw(st.integers(1, 12)),
            accumulate=draw(st.integers(1, 4)),
            sequence=draw(st.integers(8, 96)) if name == "pretrain" else None,
            language_model=name != "reward",
            optimizer=draw(st.sampled_from(["adamw", "adamw", "muon"])),
        )
        for name in names
    ]
    degrees = {name: draw(st.sampled_from([1, 1, 2, 3, 4])) for name in (*DEGREES, "ep")}
    while prod(degrees[name] for name in DEGREES) > 24:
        degrees[max(DEGREES, key=lambda name: degrees[name])] = 1
    schedule = draw(st.sampled_from(["1f1b", "gpipe", "interleaved", "zero_bubble"]))
    engine = draw(st.sampled_from(["torch", "torch", "deepspeed", "megatron"]))
    return ParallelConfig(engine=engine, schedule=schedule, **degrees), every


def possible(parallel: ParallelConfig, every: list[Needs]) -> bool:
    return not any(any(misfits(parallel, one)) for one in every)


def distance(one: ParallelConfig, other: ParallelConfig) -> float:
    return sum(abs(log2(getattr(one, name) / getattr(other, name))) for name in (*DEGREES, "ep"))


def brute_force(parallel: ParallelConfig, every: list[Needs]) -> list[ParallelConfig]:
    """Every possible layout of the most processes, up to those asked for, that can be had."""
    for processes in range(parallel.processes, 0, -1):
        found = []
        sizes = [n for n in range(1, processes + 1) if processes % n == 0]
        for degrees in product(sizes, repeat=len(DEGREES)):
            if prod(degrees) != processes:
                continue
            given = dict(zip(DEGREES, degrees, strict=True))
            eps = [n for n in sizes if given["dp_shard"] % n == 0] if parallel.ep > 1 else [1]
            found += [parallel.model_copy(update={**given, "ep": ep}) for ep in eps]
        found = [one for one in found if possible(one, every)]
        if found:
            return found
    return []


@given(asked())
def test_every_suggestion_is_possible_and_none_is_nearer(case: tuple[ParallelConfig, list[Needs]]) -> None:
    parallel, every = case
    near, all_of_them = nearest(parallel, every), brute_force(parallel, every)
    assert all(possible(one, every) for one in near)
    assert len(near) == min(3, len(all_of_them))
    best = sorted(distance(one, parallel) for one in all_of_them)[: len(near)]
    assert [distance(one, parallel) for one in near] == pytest.approx(best)
    if possible(parallel, every):
        assert near[0] == parallel


def test_an_engine_is_refused_by_the_same_law() -> None:
    config = PretrainConfig(parallel=ParallelConfig(tp=3))
    with pytest.raises(GroundupError) as error:
        engine_for(tiny.model(), config, "fp32")
    assert str(error.value) == (
        "pretrain: parallel.tp: 4 heads can't be split evenly by tp 3; "
        "possible are, for example, {dp_shard: 3} or {dp_replicate: 3}"
    )
    with pytest.raises(GroundupError, match=r"reward trains another head.* possible are, for example, .*dp_shard: 2"):
        engine_for(RewardModel(tiny.model()), RewardConfig(parallel=ParallelConfig(engine="megatron", tp=2)), "fp32")


def test_advice_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, groundup.parallel.advice, groundup.blueprint.layouts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
