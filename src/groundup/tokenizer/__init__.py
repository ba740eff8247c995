"""Byte-level BPE: training, encoding, `tokenizer.json`, and the chat format."""
