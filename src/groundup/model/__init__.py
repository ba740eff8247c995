"""A decoder that a configuration turns into Llama, Mistral, Qwen, GPT-2, a mixture of experts, or one of your own.

    >>> import torch
    >>> from groundup.model import CustomLanguageModel, LLMConfig
    >>> config = LLMConfig(vocab_size=512, hidden_size=128, num_hidden_layers=2)
    >>> config.num_attention_heads, config.intermediate_size, config.num_parameters
    (2, 384, 492160)
    >>> model = CustomLanguageModel(config, seed=0)
    >>> ids = torch.randint(512, (4, 32))
    >>> logits, loss = model(ids[:, :-1], ids[:, 1:])
    >>> logits.shape, loss.shape
    (torch.Size([4, 31, 512]), torch.Size([]))

`from_pretrained` reads a folder that transformers, `groundup export` or `save_pretrained` has written. `from_meta`
takes Meta's own tensors of a Llama, whose rotary positions are interleaved; `half_split` and `interleaved` convert one
projection. `DecoderInputs` is what `model.features` takes: ids, documents that do not see each other, a cache.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.model.configuration import LLMConfig
    from groundup.model.decoder import CustomLanguageModel
    from groundup.model.inputs import DecoderInputs
    from groundup.model.pretrained import from_meta, from_pretrained, half_split, interleaved, save_pretrained

__all__ = [
    "CustomLanguageModel",
    "DecoderInputs",
    "LLMConfig",
    "from_meta",
    "from_pretrained",
    "half_split",
    "interleaved",
    "save_pretrained",
]
__getattr__, __dir__ = exports(
    __name__,
    {
        "CustomLanguageModel": "groundup.model.decoder:CustomLanguageModel",
        "DecoderInputs": "groundup.model.inputs:DecoderInputs",
        "LLMConfig": "groundup.model.configuration:LLMConfig",
        "from_meta": "groundup.model.pretrained:from_meta",
        "from_pretrained": "groundup.model.pretrained:from_pretrained",
        "half_split": "groundup.model.pretrained:half_split",
        "interleaved": "groundup.model.pretrained:interleaved",
        "save_pretrained": "groundup.model.pretrained:save_pretrained",
    },
)
