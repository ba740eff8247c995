"""A folder for Megatron-LM holds our weights bit for bit, and Megatron-core's own GPTModel computes our logits of it.

Megatron-LM can't be installed from a package index. The oracle is what it is made of: `GPTModel` with Megatron's own
layer specification and `dist_checkpointing.load`, strict both ways.
"""

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ranks
import tiny
from groundup.errors import GroundupError
from groundup.export.megatron_lm import export_megatron_lm, import_megatron_lm
from groundup.model.configuration import FAMILIES
from groundup.parallel.configuration import ParallelConfig
from groundup.shards.megatron import import_megatron
from groundup.shards.token_file import TokenShard, TokenWriter

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"rope_theta": 500.0, "rms_norm_eps": 1e-3},
    "llama 3": {"rope_scaling": LLAMA3, "rope_theta": 500_000.0},
    "linear scaling": {"rope_scaling": {"rope_type": "linear", "factor": 2.5}},
    "untied, all biases": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    "mistral": {"sliding_window": 7},
    "qwen2": FAMILIES["qwen2"] | {"head_dim": 12},
    "qwen3": FAMILIES["qwen3"] | {"tie_word_embeddings": False},
    "gpt2": FAMILIES["gpt2"] | {"num_key_value_heads": 4, "layer_norm_epsilon": 1e-3},
    "gpt2, exact gelu": FAMILIES["gpt2"] | {"num_key_value_heads": 4, "hidden_act": "gelu"},
    "gpt2, squared relu": FAMILIES["gpt2"] | {"num_key_value_heads": 4, "hidden_act": "relu2"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_comes_back_bit_for_bit(shape: str, tmp_path: Path) -> None:
    made = tiny.model(**SHAPES[shape])
    export_megatron_lm(tmp_path / "megatron", made)
    back = import_megatron_lm(tmp_path / "megatron")
    assert back.config == made.config
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), back.parameters(), strict=True))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("num_experts = 4", {"num_experts": 4}),
        ("attention_bias = True", {"attention_bias": True}),
        ("hidden_act = gelu", {"hidden_act": "gelu"}),
        ("hidden_act = relu", FAMILIES["gpt2"] | {"num_key_value_heads": 4, "hidden_act": "relu"}),
        ("norm_bias = False", {"norm": "layer_norm", "norm_bias": False}),
        ("qk_norm = True", {"norm": "layer_norm", "qk_norm": True}),
        ("layer_types", {"sliding_window": 4, "layer_types": ("full_attention", "sliding_attention")}),
        ("rope_theta = 1.5", {"rope_theta": 1.5}),
        ("rope_scaling = llama3", {"rope_scaling": LLAMA3 | {"high_freq_factor": 3.0}}),
        ("rope_scaling = yarn", {"rope_scaling": LLAMA3 | {"rope_type": "yarn"}}),
        ("embd_pdrop = 0.1", {"embd_pdrop": 0.1}),
        ("final_logit_softcapping = 3.0", {"final_logit_softcapping": 3.0}),
        ("mup_base_width = 8", {"mup_base_width": 8}),
    ],
)
def test_what_megatron_lm_has_no_equivalent_of_is_refused_by_name(
    field: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(GroundupError, match=f"has no model with {field}"):
        export_megatron_lm(tmp_path / "megatron", tiny.model(**changes))
    assert not (tmp_path / "megatron").exists()


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="exists already"):
        export_megatron_lm(tmp_path, tiny.model())


def test_the_arguments_are_megatron_lms(tmp_path: Path) -> None:
    export_megatron_lm(tmp_path / "megatron", tiny.model(**SHAPES["qwen3"], sliding_window=8))
    text = (tmp_path / "megatron" / "arguments.sh").read_text()
    given = shlex.split(text.split("MODEL='")[1].split("'")[0])
    flags = [flag for flag in given if flag.startswith("--")]
    values = {flag: value for flag, value in zip(given, [*given[1:], "--"], strict=True) if not value.startswith("--")}
    assert {"--group-query-attention", "--qk-layernorm", "--swiglu", "--disable-bias-linear"} <= set(flags)
    assert "--untie-embeddings-and-output-weights" in flags
    assert "--add-qkv-bias" not in flags and "--squared-relu" not in flags
    assert values["--num-layers"] == "2" and values["--num-query-groups"] == "2" and values["--kv-channels"] == "8"
    assert values["--rotary-base"] == "10000" and values["--norm-epsilon"] == "1e-06"
    assert values["--window-size"] == "(7,0)"
    assert values["--vocab-size"] == "60"  # and one that NullTokenizer adds


def test_the_data_goes_with_it(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    (tmp_path / "shards").mkdir()
    with TokenWriter(tmp_path / "shards", "train", tokenizer) as writer:
        writer.begin("some")
        for number, ids in enumerate([[10, 11, 12], [13]]):
            writer.append(f"{number:032}", ids)
    shard = TokenShard.open(tmp_path / "shards", "train", tokenizer)
    made = tiny.model(vocab_size=tokenizer.vocabulary_size)
    export_megatron_lm(tmp_path / "megatron", made, {"train": shard})
    back = import_megatron(tmp_path / "megatron" / "data" / "train", tmp_path / "back", "train", tokenizer)
    assert np.array_equal(back.tokens, shard.tokens)


def test_a_run_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"latest_checkpointed_iteration.txt"):
        import_megatron_lm(tmp_path, tiny.shape())


def test_the_newest_iteration_is_read(tmp_path: Path) -> None:
    """As a run of Megatron-LM leaves it."""
    made = tiny.model()
    export_megatron_lm(tmp_path / "megatron", made)
    (tmp_path / "megatron" / "release").rename(tmp_path / "megatron" / "iter_0000030")
    (tmp_path / "megatron" / "latest_checkpointed_iteration.txt").write_text("30\n")
    back = import_megatron_lm(tmp_path / "megatron", made.config)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), back.parameters(), strict=True))


def theirs(folder: Path) -> Any:
    """Megatron's own GPTModel, built from the arguments in the checkpoint as Megatron-LM builds it, and loaded."""
    from megatron.core import dist_checkpointing
    from megatron.core.dist_checkpointing.validation import StrictHandling
    from megatron.core.models.gpt import GPTModel
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer import TransformerConfig

    args = dist_checkpointing.load_common_state_dict(str(folder))["args"]
    activation: Any = F.silu if args.swiglu else F.gelu
    if args.squared_relu:
        activation = lambda x: F.relu(x).square()  # noqa: E731
    if args.openai_gelu:
        activation = lambda x: F.gelu(x, approximate="tanh")  # noqa: E731
    fusions = ("gradient_accumulation", "masked_softmax", "bias_activation", "bias_dropout")
    config = TransformerConfig(
        num_layers=args.num_layers,
        hidden_size=args.hidden_size,
        ffn_hidden_size=args.ffn_hidden_size,
        num_attention_heads=args.num_attention_heads,
        num_query_groups=args.num_query_groups,
        kv_channels=args.kv_channels,
        normalization=args.normalization,
        layernorm_epsilon=args.norm_epsilon,
        qk_layernorm=args.qk_layernorm,
        gated_linear_unit=args.swiglu,
        activation_func=activation,
        add_bias_linear=args.add_bias_linear,
        add_qkv_bias=args.add_qkv_bias,
        hidden_dropout=args.hidden_dropout,
        attention_dropout=args.attention_dropout,
        window_size=getattr(args, "window_size", None),
        use_cpu_initialization=True,
        apply_rope_fusion=False,
        persist_layer_norm=False,
        **{f"{name}_fusion": False for name in fusions},
    )
    model = GPTModel(
        config,
        get_gpt_layer_local_spec(qk_layernorm=args.qk_layernorm, normalization=args.normalization),
        args.padded_vocab_size,
        args.max_position_embeddings,
        share_embeddings_and_output_weights=not args.untie_embeddings_and_output_weights,
        position_embedding_type=args.position_embedding_type,
        rotary_base=getattr(args, "rotary_base", 10_000),
        seq_len_interpolation_factor=getattr(args, "rotary_seq_len_interpolation_factor", None),
        rope_scaling=getattr(args, "use_rope_scaling", False),
        rope_scaling_factor=getattr(args, "rope_scaling_factor", 8.0),
    )
    wanted = {"model": model.sharded_state_dict()}
    found = dist_checkpointing.load(wanted, str(folder), strict=StrictHandling.RAISE_ALL)
    model.load_state_dict(found["model"])
    return model.eval()


@pytest.mark.engines
@pytest.mark.skipif(find_spec("megatron") is None, reason="Megatron-core is not installed")
def test_megatrons_own_model_loads_it_strictly_and_computes_our_logits(tmp_path: Path) -> None:
    from groundup.parallel.megatron import library

    library.load()
    for name, changes in SHAPES.items():
        export_megatron_lm(tmp_path / name, tiny.model(**changes))

    def differences() -> dict[str, float]:
        from groundup.parallel.megatron import layout

        layout.enter(ParallelConfig(), torch.device("cpu"))
        ids, found = tiny.ids(2, 24), {}
        positions, hidden = torch.arange(24).expand(2, -1), torch.ones(1, 1, 24, 24, dtype=torch.bool).triu(1)
        for name, changes in SHAPES.items():
            with torch.no_grad():
                logits = theirs(tmp_path / name / "release")(ids, positions, hidden)
                found[name] = float((logits - tiny.model(**changes)(ids)[0]).abs().max())
        return found

    [found] = ranks.run(1, differences, seconds=240)
    assert found.keys() == SHAPES.keys()
    assert max(found.values()) < 1e-4, found
