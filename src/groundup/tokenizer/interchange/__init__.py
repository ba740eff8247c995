"""Tokenizer files of other projects, read and written: `tokenizer.json`, GPT-2's two files, tiktoken's ranks."""

from groundup.tokenizer.interchange.gpt2 import read_gpt2, write_gpt2
from groundup.tokenizer.interchange.spelling import CHARACTERS
from groundup.tokenizer.interchange.tiktoken import read_tiktoken, write_tiktoken

__all__ = ["CHARACTERS", "read_gpt2", "read_tiktoken", "write_gpt2", "write_tiktoken"]
