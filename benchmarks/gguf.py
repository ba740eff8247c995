"""`make bench NAME=gguf`: does llama.cpp compute what we compute? The same file, its logits, tokens and ids.

Models of random weights in Llama's, Qwen3's and GPT-2's shape (of about 4 million parameters) are written as GGUF in
F32. llama.cpp reads the file: its logits must be ours within 1e-3 (GPT-2: 2e-2, since its table of GELU is of 16 bits),
32 greedy tokens after each of 8 prompts must be ours, and so must the ids of 1,000 varied strings under each pattern.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement, in_process, peer_in_process
from benchmarks.rows import Row, compare

PEER = "cyllama"
FAMILIES = ("llama", "qwen3", "gpt2")
PATTERNS = ("gpt2", "llama3", "qwen2")
TOLERANCE = {"gpt2": 2e-2}
PROMPTS, PROMPT, ANSWER, STRINGS = 8, 24, 32, 1000
PIECES = (
    *"abc XYZ'\u2019.,!?-_=+(){}[]\n\n\r\t  019٣½",
    *("'ll", "'S", "don't", "über", "漢字", "ไทย", "🙂", "👩‍🔬", "\u00a0", "\u2003", "é", "क्ष", "<|x|>"),
)
TEXT = ["The cat sat on the mat, and didn't the 12345 dogs bark?\n\n", "über naïve 漢字 🙂 x == y\t"]


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for every family and pattern; weights and strings are random, not `data`."""
    size = 64 if check else 256
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "m.gguf")
            ours = in_process(by_groundup, file, family, size).value
            theirs = peer_in_process(by_llama_cpp, file, ours["prompts"])
            tolerance = TOLERANCE.get(family, 1e-3)
            off = theirs.figure(partial(_largest_difference, ours["logits"]))
            yield compare(family, "difference of logits allowed", tolerance, off, PEER, "", "higher")
            same = theirs.figure(partial(_equal_answers, ours["answers"]))
            yield compare(family, f"answers of {ANSWER} tokens", PROMPTS, same, PEER, "equal", "lower")
    for pattern in PATTERNS:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "m.gguf")
            ids = in_process(ids_by_groundup, file, pattern).value
            peer = peer_in_process(ids_by_llama_cpp, file)
            same = peer.figure(partial(_equal_ids, ids))
            yield compare(f"pattern {pattern}", "ids of strings", STRINGS, same, PEER, "equal", "lower")


def _largest_difference(ours: list[list[float]], theirs: Measurement) -> float:
    rows = zip(ours, theirs.value["logits"], strict=True)
    return max(abs(a - b) for one, other in rows for a, b in zip(one, other, strict=True))


def _equal_answers(ours: list[list[int]], theirs: Measurement) -> float:
    return sum(one == other for one, other in zip(ours, theirs.value["answers"], strict=True))


def _equal_ids(ours: list[list[int]], theirs: Measurement) -> float:
    return sum(one == other for one, other in zip(ours, theirs.value, strict=True))


def by_groundup(file: str, family: Any, width: int) -> dict[str, Any]:
    """Write a model, and give its prompts, the logits after the first one's tokens, and greedy answers."""
    import torch

    from groundup.export.gguf import write_gguf
    from groundup.inference import InferenceEngine
    from groundup.model import CustomLanguageModel, LLMConfig

    tokenizer = _tokenizer("qwen2")
    config = LLMConfig.like(
        family,
        vocab_size=tokenizer.vocabulary_size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4 if family == "gpt2" else 2,
        max_position_embeddings=128,
    )
    model, generator = CustomLanguageModel(config, seed=0).eval(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # norms and biases too, and so large that a mistake shows
            mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(mean + 0.08 * torch.randn(parameter.shape, generator=generator))
    write_gguf(Path(file), model, tokenizer, "f32", name="m", template=None)
    ids = torch.randint(tokenizer.vocabulary_size, (PROMPTS, PROMPT), generator=generator)
    with torch.no_grad():
        logits = model(ids[:1])[0][0]
    engine = InferenceEngine(model, slots=PROMPTS)
    requests = [engine.add(prompt, max_tokens=ANSWER) for prompt in ids.tolist()]
    engine.run()
    return {"prompts": ids.tolist(), "logits": logits.tolist(), "answers": [one.tokens for one in requests]}


def by_llama_cpp(file: str, prompts: list[list[int]]) -> dict[str, Any]:
    """The same of the file."""
    from benchmarks.llama_cpp import LlamaCpp

    with LlamaCpp(Path(file), sequences=len(prompts), exact=True) as model:
        return {"logits": model.logits(prompts[0]).tolist(), "answers": model.greedy(prompts, ANSWER)}


def ids_by_groundup(file: str, pattern: Any) -> list[list[int]]:
    """Write a model with a tokenizer of this pattern, and give the ids of the strings."""
    from groundup.export.gguf import write_gguf
    from groundup.model import CustomLanguageModel, LLMConfig

    tokenizer = _tokenizer(pattern)
    config = LLMConfig(vocab_size=tokenizer.vocabulary_size, hidden_size=64, num_hidden_layers=1)
    write_gguf(Path(file), CustomLanguageModel(config, seed=0), tokenizer, "f32", name="m", template=None)
    return [tokenizer.encode(text) for text in varied_strings(STRINGS)]


def ids_by_llama_cpp(file: str) -> list[list[int]]:
    """The same by the file's tokenizer."""
    from benchmarks.llama_cpp import LlamaCpp

    with LlamaCpp(Path(file), vocabulary_only=True) as model:
        return [model.tokenize(text) for text in varied_strings(STRINGS)]


def varied_strings(count: int) -> list[str]:
    """Words, digits, white space, scripts, emoji and halves of words in any order."""
    import numpy as np

    draw = np.random.default_rng(0)
    return ["".join(draw.choice(PIECES, draw.integers(1, 24))) for _ in range(count)]


def _tokenizer(pattern: Any) -> Any:
    from groundup.tokenizer import Tokenizer

    return Tokenizer.train(TEXT * 20, vocabulary=320, pattern=pattern)
