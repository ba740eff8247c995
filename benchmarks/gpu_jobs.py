"""What `make gpu` measures, each in a process of its own on the best device that there is; on a CPU with small sizes.

Every function takes and returns what JSON holds. A GPU's clock is read after it has done what it was asked to.
"""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from benchmarks.train_jobs import CLIP, LEARNING_RATE, batch_of
from benchmarks.train_jobs import Size as Batch
from groundup.inference.engine import InferenceEngine
from groundup.inference.sampling import Sampling
from groundup.model.attention import attend, flex_fits, mask_of, runs_of
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel import float8
from groundup.parallel.compilation import compile_blocks
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import DTYPES, Precision, best_device, resolve_precision, settle
from groundup.parallel.engine import Engine
from groundup.parallel.mesh.engine import WithLoss
from groundup.parallel.mesh.process_group import backend_of
from groundup.parallel.recompute import checkpoint_blocks
from groundup.parallel.single_device import SingleDevice
from groundup.planning.devices import DEVICES
from groundup.planning.ranks import RankBatch, rank_memory
from groundup.training.configuration import OptimizerConfig, PretrainConfig
from groundup.training.optimizer import make_optimizer
from groundup.training.telemetry.ceiling import matmul_ceiling

WARM_UP = 4  # steps that are not counted: they compile, allocate and choose kernels
EngineName = Literal["one device", "FSDP2", "DeepSpeed ZeRO-3", "Megatron"]


@dataclass(frozen=True)
class TrainStep:
    """A shape, a batch, and how it is trained; in bf16 where the device multiplies it."""

    size: Batch
    feed_forward: int
    kv_heads: int
    compiled: bool = False
    fp8: bool = False
    recompute: Literal["none", "selective", "full"] = "none"
    engine: EngineName = "one device"

    @property
    def case(self) -> str:
        """The name of the measurement."""
        marks: list[str] = [self.engine] if self.engine != "one device" else []
        marks += ["compiled"] if self.compiled else []
        marks += ["fp8"] if self.fp8 else []
        marks += [f"activation checkpointing {self.recompute}"] if self.recompute != "none" else []
        return ", ".join([f"train {self.size.name}", *marks])

    @property
    def config(self) -> LLMConfig:
        """Llama's shape."""
        return LLMConfig(
            vocab_size=self.size.vocabulary,
            hidden_size=self.size.width,
            intermediate_size=self.feed_forward,
            num_hidden_layers=self.size.layers,
            num_attention_heads=self.size.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=self.size.context,
        )


def device_facts() -> dict[str, Any]:
    """Name, memory in bytes and versions of what everything below runs on; FLOP/s of its fastest large matmul."""
    device = best_device()
    precision = resolve_precision("auto", device)
    cuda = device.type == "cuda"
    return {
        "name": torch.cuda.get_device_name(device) if cuda else f"{device.type}, {torch.get_num_threads()} threads",
        "memory": torch.cuda.get_device_properties(device).total_memory if cuda else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "precision": precision,
        "matmul_flops": matmul_ceiling(device, DTYPES[precision]),
    }


def train(values: dict[str, Any]) -> dict[str, float]:
    """Tokens/s, the fraction of the device's peak and of its matmuls, and memory against the plan's."""
    settle()
    job = TrainStep(**values | {"size": Batch(**values["size"])})
    size, config, device = job.size, job.config, best_device()
    precision = resolve_precision("auto", device)
    with torch.device(device):
        model = CustomLanguageModel(config)
    engine = _engine(job, model, device, precision)
    seconds = []
    for number in range(WARM_UP + size.steps):
        inputs, targets = batch_of(size, number)
        batch = inputs.to(device), targets.to(device)
        started = _now(device)
        engine.train_step([batch], [targets.numel()], _loss, LEARNING_RATE, CLIP)
        seconds.append(_now(device) - started)
    rate = size.rows * size.context / median(seconds[WARM_UP:])
    flops = rate * config.flops_per_token(size.context)
    parts = rank_memory(config, ParallelConfig(), RankBatch(size.rows, size.context), job.recompute)
    found = {"speed": rate, "of matmuls": flops / matmul_ceiling(device, DTYPES[precision])}
    if peak := _peak_flops(device):
        found["MFU"] = flops / peak
    if device.type == "cuda":
        found |= {"memory": torch.cuda.max_memory_allocated(device) / 1e9, "planned memory": sum(parts.values()) / 1e9}
    return found


def _loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    if isinstance(model, WithLoss):  # sharded: the hooks run around its forward pass
        found: tuple[Tensor, dict[str, Tensor]] = model(_loss, batch)
        return found
    assert isinstance(model, CustomLanguageModel)
    return model.loss_sum(*batch), {}


def _engine(job: TrainStep, model: CustomLanguageModel, device: torch.device, precision: Precision) -> Engine:
    optimizer, blocks = OptimizerConfig(), model.model.layers
    if job.engine == "Megatron":
        from groundup.parallel.megatron import library

        library.load()
        from groundup.parallel.megatron.engine import MegatronEngine

        return MegatronEngine(model, optimizer, ParallelConfig(engine="megatron"), device, precision)
    if job.engine == "DeepSpeed ZeRO-3":
        from groundup.parallel.deepspeed.engine import DeepSpeedEngine
        from groundup.parallel.deepspeed.settings import settings

        given = settings(PretrainConfig(), ParallelConfig(engine="deepspeed"), precision)
        return DeepSpeedEngine(model, make_optimizer(optimizer), device, precision, given)
    if job.fp8:
        float8.convert(blocks, device, precision)
    checkpoint_blocks(blocks, job.recompute)
    if job.compiled:
        compile_blocks(blocks)
    root: nn.Module = model
    if job.engine == "FSDP2":
        dist.init_process_group(backend_of(device), store=HashStore(), rank=0, world_size=1)
        mesh, root = init_device_mesh(device.type, (1,)), WithLoss(model)
        for block in blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(root, mesh=mesh)
    return SingleDevice(root, make_optimizer(optimizer), device, precision)


def attention(rows: int, length: int, kind: str) -> dict[str, float]:
    """Milliseconds of attention's forward and backward pass, and its TFLOP/s over the pairs that are seen."""
    settle()
    device, heads, width = best_device(), 16, 64
    dtype = DTYPES[resolve_precision("auto", device)]
    window = length // 8 if kind == "sliding window" else None
    documents = None
    if kind == "documents":
        documents = (torch.arange(length, device=device) // (length // 8)).expand(rows, -1)
    runs = None if documents is None else runs_of(documents)[0]
    mask = mask_of(length, window, runs, device, flex_fits(device, width, 0.0))
    q, k, v = (
        torch.randn(rows, heads, length, width, device=device, dtype=dtype, requires_grad=True) for _ in range(3)
    )
    seconds = []
    for _ in range(3 + 5):
        started = _now(device)
        attend(q, k, v, mask).sum().backward()  # type: ignore[no-untyped-call]
        seconds.append(_now(device) - started)
    fastest = min(seconds[3:])
    part = length // 8
    seen = {
        "causal": length * (length + 1) / 2,
        "sliding window": part * (part + 1) / 2 + (length - part) * part,
        "documents": 8 * part * (part + 1) / 2,
    }[kind]
    return {"time": fastest * 1000, "arithmetic": 3.5 * 4 * rows * heads * width * seen / fastest / 1e12}


def decode(values: dict[str, Any], rows: int, tokens: int, temperature: float) -> dict[str, float]:
    """Tokens per second of `rows` requests at once, prompts of 32 tokens, greedy or sampled as rollouts are."""
    settle()
    config, device = TrainStep(**values | {"size": Batch(**values["size"])}).config, best_device()
    with torch.device(device):
        model = CustomLanguageModel(config).eval().requires_grad_(False)
    dtype = DTYPES[resolve_precision("auto", device)]
    engine = InferenceEngine(model, slots=rows, capacity=32 + tokens, dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    prompts = torch.randint(config.vocab_size, (rows, 32), generator=generator).tolist()
    seconds = []
    for _ in range(3):
        engine.forget()
        for number, prompt in enumerate(prompts):
            engine.add(prompt, max_tokens=tokens, sampling=Sampling(temperature, seed=number))
        started = _now(device)
        engine.run()
        seconds.append(_now(device) - started)
    return {"speed": rows * tokens / min(seconds[1:])}


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _peak_flops(device: torch.device) -> float | None:
    """The vendor's figure for a device that `groundup plan` knows."""
    name = torch.cuda.get_device_name(device).lower() if device.type == "cuda" else ""
    return next((known.flops for known in DEVICES.values() if known.name in name), None)
