"""DeepSpeed's JSON settings, from the blueprint: what follows from it, then its `parallel.deepspeed` section.

    parallel: {engine: deepspeed, dp_shard: 4, zero_stage: 3, deepspeed: {zero_optimization: {overlap_comm: false}}}

What the blueprint says elsewhere is not said here a second time: a key that another one already decides is an error
that names it, and so is a key that DeepSpeed doesn't know (it would pass over it in silence).
"""

import json
from collections.abc import Mapping
from typing import Any

from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.training.configuration import UpdateConfig

WHERE = "parallel.deepspeed"

# What may be set, as DeepSpeed 0.19 reads it (deepspeed/runtime/config.py, zero/config.py, zero/offload_config.py).
FREE = frozenset(
    """aio comms_logger communication_data_type disable_allgather disable_python_gc dump_state flops_profiler log_level
    memory_breakdown steps_per_print timers wall_clock_breakdown zero_optimization""".split()
)
FREE_ZERO = frozenset("contiguous_gradients offload_optimizer overlap_comm reduce_bucket_size reduce_scatter".split())
FREE_ZERO_12 = frozenset(
    """allgather_bucket_size allgather_partitions parameter_alignment round_robin_gradients
    use_multi_rank_bucket_allreduce""".split()
)
FREE_ZERO_3 = frozenset(
    """enable_sanity_checks leaf_module log_trace_cache_warnings memory_efficient_linear offload_param
    override_module_apply stage3_allgather_sequential stage3_max_live_parameters stage3_max_reuse_distance
    stage3_model_persistence_threshold stage3_module_granularity_threshold stage3_param_persistence_threshold
    stage3_prefetch_bucket_size stage3_use_all_reduce_for_fetch_params sub_group_size zero_hpz_partition_size
    zero_quantized_gradients zero_quantized_nontrainable_weights zero_quantized_weights""".split()
)
FREE_OFFLOAD = {
    "offload_optimizer": frozenset({"buffer_count", "pin_memory"}),
    "offload_param": frozenset({"buffer_count", "buffer_size", "max_in_cpu", "pin_memory"}),
}

# What the blueprint decides, and where.
SAID_ELSEWHERE = {
    "train_batch_size": "the stage's batch size",
    "train_micro_batch_size_per_gpu": "the stage's batch size and `accumulate`",
    "gradient_accumulation_steps": "`accumulate`",
    "managed_gradient_accumulation": "`accumulate`",
    "gradient_clipping": "`clip_norm`",
    "gradient_allreduce_op": "the loss, which is divided by the weight of the whole batch",
    "gradient_predivide_factor": "the loss, which is divided by the weight of the whole batch",
    "prescale_gradients": "the loss, which is divided by the weight of the whole batch",
    "optimizer": "`optimizer`",
    "zero_allow_untested_optimizer": "`optimizer`",
    "zero_force_ds_cpu_optimizer": "`optimizer`",
    "scheduler": "`schedule`, `warmup` and `decay`",
    "fp16": "`pretrain.precision`",
    "bf16": "`pretrain.precision`",
    "bfloat16": "`pretrain.precision`",
    "torch_autocast": "`pretrain.precision`",
    "data_types": "`pretrain.precision`",
    "activation_checkpointing": "`pretrain.activation_checkpointing`",
    "checkpoint": "`checkpoint_seconds` and `checkpoint_every`",
    "datastates_ckpt": "`checkpoint_seconds` and `checkpoint_every`",
    "tensor_parallel": "`parallel`",
    "pipeline": "`parallel`",
    "expert_parallel": "`parallel`",
    "sequence_parallel_size": "`parallel`",
    "data_parallel_size": "`parallel`",
    "use_data_before_expert_parallelism": "`parallel`",
    "vocabulary_size": "`tokenizer`",
    "dataloader_drop_last": "the stage's order of samples",
    "data_efficiency": "the stage's order of samples",
    "tensorboard": "the run's own metrics",
    "wandb": "the run's own metrics",
    "comet": "the run's own metrics",
    "csv_monitor": "the run's own metrics",
    "zero_optimization.stage": "`parallel.zero_stage`",
    "zero_optimization.cpu_offload": "`parallel.offload`",
    "zero_optimization.cpu_offload_param": "`parallel.offload`",
    "zero_optimization.cpu_offload_use_pin_memory": "`parallel.offload`",
    "zero_optimization.offload_optimizer.device": "`parallel.offload`",
    "zero_optimization.offload_param.device": "`parallel.offload`",
}

# What DeepSpeed knows and this engine has no use for, or would go wrong with.
UNFIT = frozenset(
    """autotuning compile hybrid_engine seq_parallel_communication_data_type weight_quantization
    zero_optimization.compute_grad_norm zero_optimization.elastic_checkpoint
    zero_optimization.ignore_unused_parameters zero_optimization.legacy_stage1
    zero_optimization.load_from_fp32_weights zero_optimization.pipeline_loading_checkpoint
    zero_optimization.save_muon_momentum_buffer_in_memory
    zero_optimization.stage3_gather_16bit_weights_on_model_save
    zero_optimization.stage3_gather_fp16_weights_on_model_save zero_optimization.zenflow
    zero_optimization.offload_optimizer.cpuadam_cores_perc zero_optimization.offload_optimizer.fast_init
    zero_optimization.offload_optimizer.nvme_path zero_optimization.offload_optimizer.pipeline_read
    zero_optimization.offload_optimizer.pipeline_write zero_optimization.offload_optimizer.ratio
    zero_optimization.offload_optimizer.super_offload zero_optimization.offload_param.nvme_path""".split()
)


def settings(config: UpdateConfig, parallel: ParallelConfig, precision: str) -> dict[str, Any]:
    """DeepSpeed's settings, as in its JSON file. A pure function, which needs no DeepSpeed.

    Args:
        precision: `fp32` or `bf16`; of bf16 weights DeepSpeed keeps float32 masters, and sums gradients in float32.

    Raises:
        GroundupError: a setting is unknown, decided elsewhere, or without effect.
    """
    zero: dict[str, Any] = {"stage": parallel.zero_stage}
    if parallel.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
        if parallel.zero_stage == 3:
            zero["offload_param"] = {"device": "cpu"}
    derived: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,  # DeepSpeed only counts with it; the loop cuts the batches
        "gradient_accumulation_steps": config.accumulate,
        "gradient_clipping": config.clip_norm,
        "zero_force_ds_cpu_optimizer": False,  # PyTorch's own fused AdamW: as fast, and nothing to compile
        "zero_optimization": zero,
    }
    if precision == "bf16":
        derived |= {"bf16": {"enabled": True}, "data_types": {"grad_accum_dtype": "fp32"}}
    check(parallel)
    return _merged(derived, parallel.deepspeed or {})


def check(parallel: ParallelConfig) -> None:
    """Whether the `parallel.deepspeed` section can be merged.

    Raises:
        GroundupError: a setting is unknown, decided elsewhere, or without effect.
    """
    stage, own = parallel.zero_stage, parallel.deepspeed or {}
    zero = _section(own, "zero_optimization")
    _check_keys(own, "", FREE)
    _check_keys(zero, "zero_optimization.", FREE_ZERO | (FREE_ZERO_3 if stage == 3 else FREE_ZERO_12))
    for name, free in FREE_OFFLOAD.items():
        _check_keys(_section(zero, name, "zero_optimization."), f"zero_optimization.{name}.", free)
        if name in zero and not parallel.offload:
            raise GroundupError(
                "nothing is offloaded, so these settings have no effect",
                where=f"{WHERE}.zero_optimization.{name}",
                do="set parallel.offload: true, or leave them out",
            )


def shown(given: Mapping[str, Any]) -> str:
    """The settings as DeepSpeed's JSON file."""
    return json.dumps(given, indent=2) + "\n"


def _section(own: Mapping[str, Any], name: str, prefix: str = "") -> Mapping[str, Any]:
    section = own.get(name, {})
    if not isinstance(section, Mapping):
        raise GroundupError(f"{section!r} is no section", where=f"{WHERE}.{prefix}{name}", do="give it keys and values")
    return section


def _check_keys(section: Mapping[str, Any], prefix: str, free: frozenset[str]) -> None:
    for key in section:
        name = f"{prefix}{key}"
        if name in SAID_ELSEWHERE:
            what, do = f"{SAID_ELSEWHERE[name]} says this already", "leave it out here"
        elif name in UNFIT:
            what, do = f"the DeepSpeed engine can't be used with {name}", "leave it out"
        elif prefix == "zero_optimization." and key in (FREE_ZERO_12 | FREE_ZERO_3) - free:
            what, do = f"{key} has no effect at this zero_stage", "leave it out, or choose another parallel.zero_stage"
        elif key not in free:
            what, do = f"DeepSpeed has no setting {name}", f"known here are {', '.join(sorted(free))}"
        else:
            continue
        raise GroundupError(what, where=f"{WHERE}.{name}", do=do)


def _merged(derived: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(derived)
    for key, value in own.items():
        held = merged.get(key)
        merged[key] = _merged(held, value) if isinstance(held, Mapping) and isinstance(value, Mapping) else value
    return merged
