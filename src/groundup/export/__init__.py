"""A trained model in the forms that other software loads: Hugging Face, GGUF, Megatron-LM."""
