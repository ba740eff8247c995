"""The `pretrain:` section, and what every training stage shares."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from groundup.model.configuration import FAMILIES, FAST, UNIT_START
from groundup.model.lora_config import LoraConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.section import Section


class OptimizerConfig(Section):
    """Matrices decay, gains do not.

    >>> OptimizerConfig(name="muon").momentum
    0.95
    """

    name: Literal["adamw", "muon", "adafactor", "adamw_8bit"] = "adamw"
    """`adamw` (arXiv 1711.05101); `muon` (arXiv 2502.16982) for the matrices between embedding and head, with AdamW
    for the rest; `adafactor` (arXiv 1804.04235), whose state is a row and a column for each matrix; `adamw_8bit`
    (arXiv 2110.02861), whose state is a quarter of `adamw`'s."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's."""
    eps: float = Field(default=1e-8, gt=0)
    """AdamW's."""
    weight_decay: float = Field(default=0.1, ge=0)
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's."""
    momentum_warmup: int = Field(default=0, ge=0)
    """Steps in which Muon's momentum rises from .85."""
    iterations: Literal[3, 4, 5] = 5
    """Of Muon's orthogonalisation: 3 cost three fifths of 5, which is much of a step with few tokens."""
    cautious: bool = False
    """Under Muon, decay only those numbers of a matrix that the step moves towards 0 (arXiv 2510.12402)."""
    matrix_scale: float = Field(default=1.0, gt=0)
    """Muon's learning rate as a multiple of `learning_rate`."""
    embedding_scale: float = Field(default=1.0, gt=0)
    """Under Muon, the embedding's learning rate as a multiple of `learning_rate`; the head's too where it is tied."""
    head_scale: float = Field(default=1.0, gt=0)
    """Under Muon, that of an untied head."""
    vector_scale: float = Field(default=1.0, gt=0)
    """Under Muon, that of gains and biases."""
    scalar_scale: float = Field(default=1.0, gt=0)
    """Under Muon, that of the learnt factors of `architecture: fast`."""


class GuardConfig(Section):
    """What happens when training goes wrong."""

    renamed: ClassVar[dict[str, str]] = {"most_skips": "max_skips", "most_returns": "max_returns"}

    skip_spikes: bool = False
    """Skip a step whose loss or gradient norm lies more than 6 standard deviations above the mean of the last 128
    steps (as OLMo-core does)."""
    max_skips: int = Field(default=10, ge=1)
    """Steps in a row that may be skipped; one more stops the run."""
    on_divergence: Literal["stop", "return"] = "stop"
    """When the loss or the gradient is not finite: stop, or return to the last checkpoint and skip that step."""
    max_returns: int = Field(default=3, ge=1)
    """Returns after which the run stops nevertheless."""


class ProfileConfig(Section):
    """Which steps PyTorch's profiler watches; its trace lies in the artifact's `records/profile`."""

    start: int = Field(default=10, ge=1)
    """The first, counted from 1; the steps before it compile code and allocate memory."""
    steps: int = Field(default=3, ge=1, le=100)


class WandbConfig(Section):
    """Weights & Biases (extra `wandb`)."""

    project: str = "groundup"
    entity: str | None = None
    name: str | None = None
    """Of the run; null: the stage's."""
    mode: Literal["offline", "online"] = "offline"
    """`offline` contacts nobody and writes to the artifact's `records/wandb`, for `wandb sync`."""


class TrackioConfig(Section):
    """trackio (extra `trackio`), in the folder where `trackio show` looks."""

    project: str = "groundup"
    name: str | None = None
    """Of the run; null: the stage's."""
    space: str | None = None
    """A Hugging Face Space to send to; null: nobody is contacted."""


class TelemetryConfig(Section):
    """What is recorded of a training stage's steps, in addition to loss, learning rate, gradient norm, speed and
    memory, which `records/metrics.jsonl` always has."""

    mfu: bool = True
    """Model FLOPs utilisation of each step, against the FLOP/s that this machine reaches in matmuls (measured in a
    quarter of a second at the start)."""
    layers: int | None = Field(default=None, ge=1)
    """Steps between statistics of each layer (norms of gradient and weights, how far the weights move, size of
    activations) in `records/layers.jsonl`; null: none."""
    tensorboard: bool = False
    """Event files in `records/tensorboard` (extra `tensorboard`)."""
    wandb: WandbConfig | None = None
    trackio: TrackioConfig | None = None
    profile: ProfileConfig | None = None


class ScheduleConfig(Section):
    """The learning rate over the steps. `None` means: derived from `size`.

    >>> ScheduleConfig(schedule="wsd", decay=0.1).schedule
    'wsd'
    """

    learning_rate: float | None = Field(default=None, gt=0)
    """The peak, reached at the end of the warm-up."""
    warmup: float = Field(default=0.05, ge=0, le=1)
    """Fraction of the steps in which the learning rate rises linearly from 0."""
    schedule: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """How it falls after the warm-up. `wsd` stays at the peak and falls linearly at the end (arXiv 2404.06395)."""
    decay: float = Field(default=0.2, gt=0, le=1)
    """Fraction of the steps in which `wsd` falls."""
    final_learning_rate: float = Field(default=0.0, ge=0, le=1)
    """Where the fall ends, as a fraction of the peak."""


class UpdateConfig(Section):
    """How one step changes the weights."""

    clip_norm: float = Field(default=1.0, gt=0)
    """The gradient's norm is clipped to this."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches per step; the loss is averaged over all their tokens."""
    optimizer: OptimizerConfig = OptimizerConfig()
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay per step of a moving average of the weights, which then is what is validated and kept; null: none."""


class CheckpointConfig(Section):
    """How often a training stage saves its state, and which checkpoints are kept."""

    incidental: ClassVar[frozenset[str]] = frozenset({"checkpoint_seconds", "checkpoint_every", "checkpoint_best"})

    checkpoint_seconds: float = Field(default=20.0, ge=0)
    """Seconds between checkpoints; a killed run loses at most this much."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints that are kept permanently, in the artifact's `records/checkpoints`."""
    checkpoint_best: bool = False
    """Whether the checkpoint with the lowest validation loss is kept there too."""


class LoopConfig(CheckpointConfig, UpdateConfig, ScheduleConfig):
    """What one training loop needs; in a blueprint all of it is written directly in the stage's section.

    >>> LoopConfig(accumulate=4, ema=0.99).clip_norm
    1.0
    """

    incidental: ClassVar[frozenset[str]] = CheckpointConfig.incidental | {"parallel", "telemetry"}

    guard: GuardConfig = GuardConfig()
    parallel: ParallelConfig | None = None
    """The layout over processes of this stage; null: the blueprint's `parallel`."""
    lora: LoraConfig | None = None
    """Train adapters of the model's matrices instead of the model; null: train all of it."""
    telemetry: TelemetryConfig | None = None
    """What this stage records of its steps; null: the blueprint's `telemetry`."""


class ModelShape(Section):
    """The decoder's shape. `None` means: derived from `size`."""

    architecture: Literal["llama", "mistral", "qwen3", "gpt2", "mixtral", "fast"] = "llama"
    """`mistral` sees a sliding window, `qwen3` normalises queries and keys, `gpt2` has learned positions, LayerNorm,
    GELU and biases, `mixtral` has 8 experts in each layer of which a token uses 2. `fast` learns the most in a given
    time, by ways around its layers that no other program knows: it can't be exported to them."""
    unit_start: bool = False
    """Start so that every layer reads numbers of size 1 and writes 0, as Muon likes it, with a norm after the
    embedding, which an export applies to the embedding itself. The head is then not `tied`. `fast` always does."""
    layers: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=2)
    heads: int | None = Field(default=None, ge=1)
    kv_heads: int | None = Field(default=None, ge=1)
    feed_forward: int | None = Field(default=None, ge=1)
    context: int = Field(default=256, ge=8)
    """Maximum number of tokens that the model can see at once."""
    window: int | None = Field(default=None, ge=1)
    """How many tokens back one layer of `mistral` sees; null: half the context, as published."""
    rope_theta: float = Field(default=10_000.0, gt=0)
    tied: bool | None = None
    """Whether the output head shares the embedding's matrix; null: it does, but not with `unit_start`."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability with which embeddings, attention weights and residual additions are set to zero in pretraining
    (arXiv 1207.0580); worth it where the documents are read many times."""

    @model_validator(mode="after")
    def _own_head(self) -> "ModelShape":
        if self.unit_start and self.architecture == "gpt2":
            raise ValueError("gpt2's learned positions are added to plain embeddings: remove unit_start")
        if self.tied and self.starts_at_unit:
            raise ValueError("the head can't be tied to an embedding that is normalised (unit_start): remove tied")
        return self

    @property
    def starts_at_unit(self) -> bool:
        return self.unit_start or self.architecture == "fast"

    @property
    def decoder_fields(self) -> dict[str, Any]:
        """The decoder's fields that do not follow from `size`."""
        fields = dict(FAST if self.architecture == "fast" else FAMILIES[self.architecture])
        fields |= UNIT_START if self.starts_at_unit else {}
        tied = not self.starts_at_unit if self.tied is None else self.tied
        fields |= {"max_position_embeddings": self.context, "tie_word_embeddings": tied}
        if self.architecture == "mistral":
            fields["sliding_window"] = self.window or max(1, self.context // 2)
        fields |= dict.fromkeys(("attention_dropout", "resid_pdrop", "embd_pdrop"), self.dropout)
        if self.architecture != "gpt2":
            fields["rope_theta"] = self.rope_theta
        return fields


class BatchWarmup(Section):
    """A batch that is smaller at first and doubles until it is whole (arXiv 1711.00489, 2505.23971). The tokens and
    their order stay the same; only the steps are cut differently."""

    renamed: ClassVar[dict[str, str]] = {"share": "fraction"}

    start: float = Field(default=0.125, gt=0, lt=1)
    """The first batch, as a fraction of `batch_tokens`."""
    fraction: float = Field(default=0.1, gt=0, le=1)
    """Fraction of all tokens that is read in smaller batches."""


class PretrainConfig(LoopConfig):
    """Next-token prediction over the token shards."""

    incidental: ClassVar[frozenset[str]] = LoopConfig.incidental | {"validate_every", "validation_tasks"}

    model: ModelShape = ModelShape()
    tokens: int | None = Field(default=None, ge=1)
    """Tokens to train on in all; more than the corpus holds means several epochs."""
    batch_tokens: int | None = Field(default=None, ge=8)
    """Tokens per optimizer step."""
    batch_warmup: BatchWarmup | None = None
    sequence: int = Field(default=128, ge=8)
    """Tokens per training sequence; at most `model.context`."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto` takes bf16 (with fp32 master weights) where the device multiplies it faster. `fp16`, with loss scaling
    (arXiv 1710.03740), is for GPUs without bf16, and for the engine torch. All later stages use the same."""
    fp8: bool = False
    """Whether the layers' matmuls run in float8, the rest in bf16 (extra `float8`): for GPUs of CUDA capability 8.9
    and above and the engine torch, without tp, cp and ep. It pays for wide models with `compile`."""
    mixture: dict[str, Annotated[float, Field(gt=0)]] | None = None
    """The fraction of the tokens that comes from each source, by its name: `{handbook: .7, wiki: .3}`. Only
    proportions matter, and a source that is not named is not read. null: every document is read equally often."""
    epochs: Annotated[float, Field(gt=0)] | dict[str, Annotated[float, Field(ge=0)]] | None = None
    """In place of `tokens`: how often the documents are read, all (`2.5`) or by source (`{handbook: 3, faq: 0}`, those
    that are not named once)."""
    inside_documents: bool = False
    """Whether attention is restricted to the token's own document; else a token sees all that comes before it in its
    sequence, including other documents."""
    activation_checkpointing: Literal["none", "full", "selective"] | Annotated[float, Field(gt=0, lt=1)] = "none"
    """Compute activations a second time in the backward pass instead of keeping them: `full` runs each layer again,
    `selective` keeps the results of matmuls and attention. Less memory, up to a third more work, the same result. A
    number is the fraction of the activations that may be kept (the costliest ones); with `compile: true`."""
    compile: bool | Literal["measure"] = False
    """Whether torch.compile makes code for the training of the layers: half a minute at the start, then faster steps.
    `measure` tries both at the start. For the engine torch, without tp, cp and ep."""
    validate_every: int = Field(default=200, ge=1)
    """Steps between measurements of the validation loss."""
    validation_tasks: tuple[Path, ...] = ()
    """Evaluation tasks (YAML, docs/evaluation.md) that are also asked at each of these measurements."""

    @model_validator(mode="after")
    def _one_measure(self) -> "PretrainConfig":
        if self.epochs is not None and (self.tokens is not None or self.mixture is not None):
            other = "tokens" if self.tokens is not None else "mixture"
            raise ValueError(f"both epochs and {other} set how much is read of each source: give one of them")
        return self

    @model_validator(mode="after")
    def _float8_rows(self) -> "PretrainConfig":
        if self.fp8 and self.sequence % 16:
            raise ValueError("fp8 multiplies by 16 tokens at a time: set sequence to a multiple of 16")
        return self

    @model_validator(mode="after")
    def _budget_of_compiled(self) -> "PretrainConfig":
        if isinstance(self.activation_checkpointing, float) and self.compile is not True:
            raise ValueError("activation_checkpointing as a number needs the compiler: set compile to true")
        return self
