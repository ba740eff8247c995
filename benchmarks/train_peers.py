"""The peers of the benchmark `train`, each a function that a fresh process calls: seconds of each optimizer step."""

import time
from typing import Any

import torch
from torch import nn

from benchmarks.nanogpt import NanoGPT
from benchmarks.train_jobs import BETAS, CLIP, DECAY, LEARNING_RATE, WARM_UP, TrainJob, batch_of
from groundup.model import lora_config as adapters


def transformers_step(values: dict[str, Any]) -> dict[str, Any]:
    """Transformers' Trainer on its own model, as its examples call it; with PEFT's adapters where the job has some."""
    import tempfile

    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    job = TrainJob.of(values)
    size = job.size
    torch.manual_seed(0)
    if job.family == "gpt2":
        config: Any = GPT2Config(
            vocab_size=size.vocabulary,
            n_positions=size.context,
            n_embd=size.width,
            n_layer=size.layers,
            n_head=size.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
        )
        model: Any = GPT2LMHeadModel(config)
    else:
        config = LlamaConfig(
            vocab_size=size.vocabulary,
            hidden_size=size.width,
            intermediate_size=job.feed_forward,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            max_position_embeddings=size.context,
            tie_word_embeddings=True,
            use_cache=False,
        )
        model = LlamaForCausalLM(config)
    if job.rank:
        from peft import LoraConfig, get_peft_model

        targets: list[str] = [*adapters.LoraConfig().targets]
        model = get_peft_model(model, LoraConfig(r=job.rank, lora_alpha=2 * job.rank, target_modules=targets))
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_arguments: Any, **_named: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *_arguments: Any, **_named: Any) -> None:
            seconds.append(time.perf_counter() - self.started)

    rows = [row for number in range(WARM_UP + size.steps) for row in batch_of(size, number)[0]]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=size.rows,
            max_steps=WARM_UP + size.steps,
            learning_rate=LEARNING_RATE,
            weight_decay=DECAY,
            adam_beta1=BETAS[0],
            adam_beta2=BETAS[1],
            max_grad_norm=CLIP,
            bf16=job.precision == "bf16",
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        dataset = [{"input_ids": row, "labels": row} for row in rows]
        Trainer(model=model, args=arguments, train_dataset=dataset, callbacks=[Clock()]).train()
    return {"seconds": seconds}


def litgpt_step(values: dict[str, Any]) -> dict[str, Any]:
    """Litgpt's model and chunked loss, in the loop of its `pretrain.fit`."""
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    job = TrainJob.of(values)
    size = job.size
    torch.manual_seed(0)
    config = Config(
        block_size=size.context,
        n_layer=size.layers,
        n_embd=size.width,
        n_head=size.heads,
        vocab_size=size.vocabulary,
        padded_vocab_size=size.vocabulary,
        norm_class_name="RMSNorm",
        mlp_class_name="LLaMAMLP",
        intermediate_size=job.feed_forward,
        bias=False,
        parallel_residual=False,
        rotary_percentage=1.0,
    )
    model = GPT(config)
    model.lm_head.weight = model.transformer.wte.weight  # as the other sides
    model.max_seq_length = size.context
    return _plain_loop(model, job, lambda inputs, targets: chunked_cross_entropy(model(inputs), targets, chunk_size=0))


def nanogpt_step(values: dict[str, Any]) -> dict[str, Any]:
    """The step of nanoGPT's `train.py`."""
    job = TrainJob.of(values)
    torch.manual_seed(0)
    size = job.size
    model = NanoGPT(
        {
            "layers": size.layers,
            "width": size.width,
            "heads": size.heads,
            "vocabulary": size.vocabulary,
            "context": size.context,
            "bias": True,
        }
    )
    return _plain_loop(model, job, model)


def _plain_loop(model: nn.Module, job: TrainJob, loss: Any) -> dict[str, Any]:
    if job.compiled:
        model.compile()
    decayed = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, fused=True)
    seconds = []
    for number in range(WARM_UP + job.size.steps):
        inputs, targets = batch_of(job.size, number)
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=job.precision == "bf16"):
            value = loss(inputs, targets)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value.item()
        seconds.append(time.perf_counter() - started)
    return {"seconds": seconds}
