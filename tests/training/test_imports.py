"""Pretraining and alignment import neither what curation needs nor what draws the report."""

import subprocess
import sys
from pathlib import Path

import tiny
from groundup.shards.token_file import TokenWriter

# Dependencies and extras that a training process must not import. pyarrow and ray are among them: token
# shards are plain files.
ELSEWHERE = (
    *("daft", "ray", "pyarrow", "trafilatura", "lxml", "fastwarc", "resiliparse", "ftfy", "charset_normalizer"),
    *("fasttext", "py3langid", "matplotlib", "fastapi", "uvicorn", "transformers", "tokenizers", "tiktoken"),
    *("deepspeed", "megatron", "torchao", "tensorboard", "wandb", "trackio"),
)
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import tiny
from groundup.artifacts import Work
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.stage import stage
root = Path({root!r})
inputs = {{name: tiny.artifact(root / name, name, {{}}) for name in ("tokenizer", "tokens")}}
shape = ModelShape(layers=2, width=32, heads=4, kv_heads=2, feed_forward=48, context=16)
config = PretrainConfig(model=shape, tokens=500, batch_tokens=64, sequence=16, learning_rate=1e-3, precision="fp32")
(root / "out").mkdir()
figures = stage(config, inputs, Work(root / "out", root / "keep", seed=2))
assert figures["steps"] == 8
import groundup.alignment.policy_stage, groundup.alignment.sft
found = sorted(set({elsewhere!r}) & set(sys.modules))
sys.exit(", ".join(found) or 0)
"""


def test_a_training_process_imports_what_it_needs(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    for name in ("tokenizer", "tokens"):
        (tmp_path / name).mkdir()
    tokenizer.save(tmp_path / "tokenizer" / "tokenizer.json")
    for split, size in (("train", 400), ("heldout", 90)):
        with TokenWriter(tmp_path / "tokens", split, tokenizer) as writer:
            writer.append(split, tiny.ids(1, size)[0].numpy())
    code = RUN.format(tests=str(Path(tiny.__file__).parent), root=str(tmp_path), elsewhere=ELSEWHERE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"it imports {done.stderr.strip()}"
