"""What a Hugging Face folder holds besides the weights and their configuration."""

from groundup.tokenizer.chat import TEMPLATE


def tokenizer_config(context: int) -> dict[str, object]:
    """`tokenizer_config.json` of groundup's own chat format."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # 4.x and 5.x of transformers both know this name
        "model_max_length": context,
        "bos_token": "<|endoftext|>",
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
