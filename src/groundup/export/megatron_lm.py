"""A model as Megatron-LM, NVIDIA's training program, reads and writes it: a checkpoint, data, and how to launch it.

    DIR/latest_checkpointed_iteration.txt   "release": weights without an optimizer, iteration 0
    DIR/release/                            weights in Megatron-core's torch_dist form
    DIR/data/train.bin, train.idx, ...      the token shards, where they are given
    DIR/config.json                         our configuration, for the way back
    DIR/arguments.sh, launch.sh, README.md  Megatron-LM's arguments, and a launch to edit

Megatron-LM itself can't be installed from a package index and was not run where this was written; what is tested is
that Megatron-core's own GPTModel, built from these arguments, loads the folder strictly and computes our logits.
"""

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from groundup.artifacts.durable import disk_error, write_text
from groundup.artifacts.json_files import read_json
from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig, RopeScaling, config_of
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import portable_config, portable_weights
from groundup.model.weights import CONFIG, load_weights
from groundup.parallel.megatron import torch_dist
from groundup.parallel.megatron.converter import to_megatron
from groundup.shards.megatron import export_megatron
from groundup.shards.token_file import TokenShard

TRACKER, RELEASE, DATA = "latest_checkpointed_iteration.txt", "release", "data"
FORM = {"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch"}


def export_megatron_lm(
    folder: Path, model: CustomLanguageModel, shards: Mapping[str, TokenShard] | None = None
) -> None:
    """Write a model, and token shards by the names of their splits, into a new folder.

    Raises:
        GroundupError: Megatron-LM has no such model (the field that prevents it is named), the folder exists, or
            the disk is full.
    """
    arguments = megatron_arguments(model.config)
    if folder.exists():
        raise GroundupError("exists already", where=str(folder), do="name a new folder")
    release = folder / RELEASE
    try:
        release.mkdir(parents=True)
        torch_dist.write(release, to_megatron(portable_weights(model), model.config))
        common = {"args": Namespace(**arguments), "checkpoint_version": 3.0, "iteration": 0}
        torch.save(common, release / "common.pt")
        write_text(release / "metadata.json", json.dumps(FORM | {"common_backend_version": 1}))
        values = portable_config(model.config).model_dump(exclude={"notes"})
        write_text(folder / CONFIG, json.dumps(values, indent=1) + "\n")
        for split, shard in (shards or {}).items():
            export_megatron(shard, folder / DATA / split)
        write_text(folder / "arguments.sh", _arguments_sh(arguments))
        write_text(folder / "launch.sh", LAUNCH)
        write_text(folder / "README.md", README)
        write_text(folder / TRACKER, RELEASE)  # last: with it the checkpoint is there
    except OSError as error:
        raise disk_error(error, folder) from error


def import_megatron_lm(folder: Path, config: LLMConfig | None = None) -> CustomLanguageModel:
    """Read the newest checkpoint of a Megatron-LM run in the torch_dist form; weights become float32.

    Args:
        config: of the model; without it, that of `config.json` next to the checkpoints.

    Raises:
        GroundupError: there is no such checkpoint, or it is of another model.
    """
    config = config or config_of(read_json(folder / CONFIG), folder / CONFIG)
    try:
        newest = (folder / TRACKER).read_text(encoding="utf-8").strip()
    except OSError as error:
        what = f"can't be read ({error.strerror})"
        raise GroundupError(
            what, where=str(folder / TRACKER), do="name what Megatron-LM was given as --save"
        ) from error
    checkpoint = folder / (newest if newest == RELEASE else f"iter_{int(newest):07d}")
    model = CustomLanguageModel(config, seed=None)
    load_weights(model, torch_dist.read_weights(checkpoint, config), checkpoint)
    return model


def megatron_arguments(config: LLMConfig) -> dict[str, Any]:
    """A model's shape as Megatron-LM's arguments, by the names that they have inside.

    Raises:
        GroundupError: Megatron-LM's GPT has no equivalent of a field.
    """
    _check(config)
    scaling, layer_norm = config.rope_scaling, config.norm == "layer_norm"
    arguments: dict[str, Any] = {
        "num_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "ffn_hidden_size": config.intermediate_size,
        "num_attention_heads": config.num_attention_heads,
        "group_query_attention": True,
        "num_query_groups": config.num_key_value_heads,
        "kv_channels": config.head_dim,
        "seq_length": config.max_position_embeddings,
        "max_position_embeddings": config.max_position_embeddings,
        "position_embedding_type": "learned_absolute" if config.position_embedding == "learned" else "rope",
        "normalization": "LayerNorm" if layer_norm else "RMSNorm",
        "norm_epsilon": config.layer_norm_epsilon if layer_norm else config.rms_norm_eps,
        "qk_layernorm": config.qk_norm,
        "swiglu": config.gated_mlp,
        "squared_relu": config.hidden_act == "relu2",
        "openai_gelu": config.hidden_act in ("gelu_new", "gelu_pytorch_tanh"),
        "add_bias_linear": config.mlp_bias,
        "add_qkv_bias": config.qkv_bias,
        "untie_embeddings_and_output_weights": not config.tie_word_embeddings,
        "attention_dropout": config.attention_dropout,
        "hidden_dropout": config.resid_pdrop,
        "padded_vocab_size": config.vocab_size,
        "tensor_model_parallel_size": 1,
        "pipeline_model_parallel_size": 1,
        "ckpt_format": "torch_dist",
    }
    if config.position_embedding == "rope":
        arguments |= {"rotary_base": int(config.rope_theta), "rotary_percent": 1.0}
    if scaling is not None and scaling.rope_type == "llama3":
        arguments |= {"use_rope_scaling": True, "rope_scaling_factor": scaling.factor}
    if scaling is not None and scaling.rope_type == "linear":
        arguments["rotary_seq_len_interpolation_factor"] = scaling.factor
    if config.sliding_window is not None:
        arguments["window_size"] = (config.sliding_window - 1, 0)  # tokens before and after the one that looks
    return arguments


def _check(config: LLMConfig) -> None:
    """Raises GroundupError naming the first field that Megatron-LM's GPT has no equivalent of."""
    scaling = config.rope_scaling
    refused = {
        "num_experts": config.num_experts > 0,
        **dict.fromkeys(config.shortcuts, True),
        "attention_bias": config.attention_bias != config.mlp_bias,  # Megatron-LM has one switch for both
        "hidden_act": config.hidden_act == "relu" or (config.hidden_act == "silu") != config.gated_mlp,
        "norm_bias": config.norm == "layer_norm" and not config.norm_bias,
        "qk_norm": config.qk_norm and config.norm == "layer_norm",  # it would be LayerNorm too
        "layer_types": config.sliding_window is not None and "full_attention" in (config.layer_types or ()),
        "rope_theta": config.rope_theta != int(config.rope_theta),
        "rope_scaling": scaling is not None and not _knows(scaling),
        "embd_pdrop": config.embd_pdrop != config.resid_pdrop,
        "final_logit_softcapping": config.final_logit_softcapping is not None,
        "mup_base_width": config.mup_base_width is not None,
    }
    for field, wrong in refused.items():
        if wrong:
            value = getattr(config, field)
            shown = value.rope_type if isinstance(value, RopeScaling) else value
            raise GroundupError(
                f"Megatron-LM has no model with {field} = {shown} next to the other fields",
                do="export it as hf, or train a model of another shape",
            )


def _knows(scaling: RopeScaling) -> bool:
    """Linear scaling, and Llama 3's with the numbers that are fixed in Megatron-LM."""
    llama3 = (scaling.low_freq_factor, scaling.high_freq_factor, scaling.original_max_position_embeddings)
    return scaling.rope_type == "linear" or (scaling.rope_type == "llama3" and llama3 == (1, 4, 8192))


# What Megatron-LM learns otherwise: from launch.sh, or from the checkpoint.
_NOT_FLAGS = ("padded_vocab_size", "tensor_model_parallel_size", "pipeline_model_parallel_size", "ckpt_format")


def _arguments_sh(arguments: Mapping[str, Any]) -> str:
    flags = []
    for name, value in arguments.items():
        flag = f"--{name.replace('_', '-')}"
        if name in _NOT_FLAGS or value is False:
            continue
        if name == "add_bias_linear":
            continue  # true already
        flags.append(flag if value is True else f"{flag} {str(value).replace(' ', '')}")
    if not arguments["add_bias_linear"]:
        flags.append("--disable-bias-linear")
    # its NullTokenizer, for data that is ids already, adds one id to the given ones
    flags += [
        "--tokenizer-type NullTokenizer",
        f"--vocab-size {arguments['padded_vocab_size'] - 1}",
        "--make-vocab-size-divisible-by 1",
    ]
    lines = "".join(f"\n{flag}" for flag in flags)
    return f"# The model's shape in Megatron-LM's arguments; launch.sh reads it.\nMODEL='{lines}\n'\n"


LAUNCH = """\
#!/bin/sh
# Continue training this model with Megatron-LM. Set where it is checked out: MEGATRON_LM=~/Megatron-LM sh launch.sh
# A second call resumes from its own checkpoints in `continued`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
from=$here
[ -e "$here/continued/latest_checkpointed_iteration.txt" ] && from=$here/continued
. "$here/arguments.sh"
export CUDA_DEVICE_MAX_CONNECTIONS=1

# the split on white space is meant
torchrun --nproc-per-node "${GPUS:-1}" "$MEGATRON_LM/pretrain_gpt.py" $MODEL \\
    --load "$from" --save "$here/continued" --save-interval "${SAVE:-500}" \\
    --ckpt-format torch_dist --dist-ckpt-strictness log_all \\
    --train-data-path "$here/data/train" --valid-data-path "$here/data/heldout" --test-data-path "$here/data/heldout" \\
    --tensor-model-parallel-size "${TP:-1}" --pipeline-model-parallel-size "${PP:-1}" --sequence-parallel \\
    --use-distributed-optimizer --bf16 \\
    --micro-batch-size "${MICRO:-4}" --global-batch-size "${BATCH:-64}" --train-iters "${STEPS:-1000}" \\
    --lr "${LR:-1e-4}" --min-lr 0 --lr-decay-style cosine --lr-warmup-fraction 0.05 \\
    --weight-decay 0.1 --adam-beta1 0.9 --adam-beta2 0.95 --clip-grad 1.0 \\
    --log-interval 10 --eval-interval 200 --eval-iters 10
"""

README = """\
# A model for Megatron-LM

`release/` holds the weights in Megatron-core's `torch_dist` form, which Megatron-LM reads under any tensor and pipeline
parallel layout; `data/` the token shards as `.bin` and `.idx`; `arguments.sh` the model's shape.

    git clone https://github.com/NVIDIA/Megatron-LM
    MEGATRON_LM=$PWD/Megatron-LM GPUS=8 TP=2 sh launch.sh

`launch.sh` is short: edit it. The checkpoint has no optimizer, so training begins with a fresh optimizer state.
`--dist-ckpt-strictness log_all` is there because Transformer Engine's layers look for states of their own that a model
which was never in FP8 does not have.

Back into groundup:

    from pathlib import Path
    from groundup.export.megatron_lm import import_megatron_lm
    from groundup.model.configuration import config_of
    from groundup.model.weights import save_model
    from groundup.artifacts.json_files import read_json
    config = config_of(read_json(Path("config.json")), Path("config.json"))
    save_model(Path("model"), import_megatron_lm(Path("continued"), config))

What was tested: Megatron-core 0.16.1 builds its own GPTModel from these arguments, loads `release/` strictly, and
computes the same logits. Megatron-LM's own scripts were not run.
"""
