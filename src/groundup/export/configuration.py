"""The `export:` section."""

from typing import Literal

from groundup.section import Section


class ExportConfig(Section):
    """The aligned model in a form that other programs load."""

    name: str | None = None
    """What the model calls itself; without it the blueprint's name."""
    format: Literal["hf"] = "hf"
    """`hf`: a Hugging Face folder (safetensors, config, tokenizer, chat template)."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
