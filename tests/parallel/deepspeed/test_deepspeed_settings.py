"""DeepSpeed's settings follow from the blueprint, and the user's own settings are checked. No DeepSpeed is needed."""

import json
import subprocess
import sys
from typing import Any

import pytest

from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.deepspeed import settings as module
from groundup.parallel.deepspeed.settings import FREE, SAID_ELSEWHERE, UNFIT, settings, shown
from groundup.training.configuration import LoopConfig


def made(own: dict[str, Any] | None = None, precision: str = "fp32", **parallel: Any) -> dict[str, Any]:
    layout = ParallelConfig(engine="deepspeed", dp_shard=2, deepspeed=own, **parallel)
    return settings(LoopConfig(accumulate=3, clip_norm=0.7), layout, precision)


def test_what_follows_from_the_blueprint() -> None:
    plain = made(zero_stage=2)
    assert plain["gradient_accumulation_steps"] == 3
    assert plain["gradient_clipping"] == 0.7
    assert plain["zero_optimization"] == {"stage": 2}
    assert "bf16" not in plain
    offloaded = made(zero_stage=3, offload=True)["zero_optimization"]
    assert offloaded == {"stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "cpu"}}
    assert "offload_param" not in made(zero_stage=2, offload=True)["zero_optimization"]


def test_bf16_keeps_float32_masters_and_sums() -> None:
    rounded = made(precision="bf16")
    assert rounded["bf16"] == {"enabled": True}
    assert rounded["data_types"] == {"grad_accum_dtype": "fp32"}


def test_own_settings_are_merged() -> None:
    own = {
        "wall_clock_breakdown": True,
        "zero_optimization": {"reduce_bucket_size": 1000, "offload_optimizer": {"pin_memory": True}},
    }
    merged = made(own, offload=True, zero_stage=2)
    assert merged["wall_clock_breakdown"] is True
    assert merged["zero_optimization"] == {
        "stage": 2,
        "reduce_bucket_size": 1000,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
    }
    assert made()["zero_optimization"] == {"stage": 3}  # nothing of it stayed
    assert json.loads(shown(merged)) == merged


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"train_batch_size": 8}, r"parallel.deepspeed.train_batch_size: the stage's batch size says this already"),
        ({"gradient_clipping": 1.0}, r"`clip_norm` says this already; leave it out here"),
        ({"optimizer": {"type": "Lion"}}, r"parallel.deepspeed.optimizer: `optimizer` says this"),
        ({"bf16": {"enabled": True}}, r"`pretrain.precision` says this"),
        ({"zero_optimization": {"stage": 2}}, r"zero_optimization.stage: `parallel.zero_stage` says this"),
        ({"zero_optimization": {"offload_optimizer": {"device": "nvme"}}}, r"device: `parallel.offload` says this"),
        ({"zero_optimization": {"offload_optimizer": {"pin_memory": True}}}, r"set parallel.offload: true"),
        ({"zero_optimization": {"zenflow": {}}}, r"can't be used with zero_optimization.zenflow"),
        ({"zero_optimization": {"allgather_partitions": True}}, r"no effect at this zero_stage"),
        ({"zero_optimization": {"overlap": True}}, r"no setting zero_optimization.overlap; .*overlap_comm"),
        ({"zero_optimization": True}, r"parallel.deepspeed.zero_optimization: True is no section"),
        ({"zero_optimisation": {}}, r"no setting zero_optimisation; .*zero_optimization"),
        ({"hybrid_engine": {}}, r"can't be used with hybrid_engine"),
    ],
)
def test_what_contradicts_or_is_unknown_is_refused(own: dict[str, Any], words: str) -> None:
    with pytest.raises(GroundupError, match=words) as error:
        made(own)
    assert "\n" not in str(error.value)


def test_neither_torch_nor_deepspeed_is_imported() -> None:
    code = "import sys, groundup.parallel.deepspeed.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_setting_is_in_one_list() -> None:
    assert not FREE & SAID_ELSEWHERE.keys()
    assert not FREE & UNFIT
    assert not UNFIT & SAID_ELSEWHERE.keys()


@pytest.mark.engines
def test_the_lists_are_those_of_the_installed_deepspeed() -> None:
    """Every setting that DeepSpeed reads is in one of them, and nothing else is."""
    pytest.importorskip("deepspeed.comm")
    from deepspeed.runtime import config
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from deepspeed.runtime.zero.offload_config import (
        DeepSpeedZeroOffloadOptimizerConfig,
        DeepSpeedZeroOffloadParamConfig,
    )

    read: set[str] = set()

    class Keys(dict):
        """Notes which of its keys are asked for."""

        def __contains__(self, key: object) -> bool:
            read.add(str(key))
            return super().__contains__(key)

        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

        def keys(self) -> Any:
            return self

        def __copy__(self) -> "Keys":
            return self

    config.DeepSpeedConfig(Keys(train_micro_batch_size_per_gpu=1))
    known = read - config._REMOVED_TOP_LEVEL_CONFIG_KEYS.keys()
    elsewhere = {"sequence_parallel_size", "data_parallel_size"}  # read by deepspeed.initialize
    ours = FREE | {name for name in UNFIT | SAID_ELSEWHERE.keys() if "." not in name}
    assert ours == known | elsewhere

    def fields(model: Any) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    def below(prefix: str) -> set[str]:
        names = (name.removeprefix(prefix) for name in UNFIT | SAID_ELSEWHERE.keys() if name.startswith(prefix))
        return {name for name in names if "." not in name}

    zero = module.FREE_ZERO | module.FREE_ZERO_12 | module.FREE_ZERO_3
    assert zero | below("zero_optimization.") == fields(DeepSpeedZeroConfig)
    for name, model in {
        "offload_optimizer": DeepSpeedZeroOffloadOptimizerConfig,
        "offload_param": DeepSpeedZeroOffloadParamConfig,
    }.items():
        assert module.FREE_OFFLOAD[name] | below(f"zero_optimization.{name}.") == fields(model)
