"""The `export` stage: the aligned model as a folder that other programs load, with an account of what it was taught."""

import json
import shutil
from collections.abc import Mapping, Sequence

from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.export.configuration import ExportConfig
from groundup.inference.loading import CARD
from groundup.model.huggingface import save_huggingface
from groundup.model.weights import load_model, save_model
from groundup.tokenizer.chat import TEMPLATE
from groundup.tokenizer.tokenizer import Tokenizer

EXAMPLES = 4  # questions offered to whoever opens a chat


def stage(config: ExportConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Write a Hugging Face folder: weights, configuration, tokenizer, chat template, and `groundup.json`."""
    method = next(name for name in ("ppo", "grpo", "dpo", "sft") if name in inputs)
    tokenizer_file = inputs["tokenizer"].file("tokenizer.json")
    tokenizer = Tokenizer.load(tokenizer_file)
    model = load_model(inputs[method].path / "model")
    if model.config.shortcuts:  # no other program has such a model
        save_model(work.out, model)
    else:
        save_huggingface(
            work.out,
            model,
            config.dtype,
            end_of_text=tokenizer.end_of_text,
            end=tokenizer.end,
            pad=tokenizer.pad,
        )
    shutil.copy(tokenizer_file, work.out / "tokenizer.json")
    write_text(work.out / "tokenizer_config.json", json.dumps(_tokenizer_config(model.config.max_position_embeddings)))
    write_text(work.out / "chat_template.jinja", TEMPLATE)
    items = read_items(inputs["sft"].file("items.jsonl"))
    subjects = sorted({item.subject for item in items if item.aspect in MAIN_ASPECTS})
    card = {
        "name": config.name or "groundup",
        "method": method,
        "parameters": model.config.num_parameters,
        "subjects": subjects,
        "examples": example_questions(items),
        "turns": inputs["sft"].figures["turns"],
        "introduction": introduction(items, inputs["sft"].figures["questions"], model.config.num_parameters),
        "made_from": {name: artifact.manifest.content for name, artifact in inputs.items()},
    }
    write_text(work.out / CARD, json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    size = sum(path.stat().st_size for path in work.out.iterdir() if path.is_file())
    kind = "a folder in groundup's own form" if model.config.shortcuts else "a Hugging Face folder"
    return {
        "summary": f"{kind} of {size / 1e6:,.1f} MB",
        "format": config.format,
        "dtype": config.dtype,
        "bytes": size,
        "subjects": len(subjects),
    }


def _tokenizer_config(context: int) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # 4.x and 5.x of transformers both know this name
        "model_max_length": context,
        "bos_token": "<|endoftext|>",
        "eos_token": "<|end|>",
        "pad_token": "<|pad|>",
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }


def example_questions(items: Sequence[Item]) -> list[str]:
    """A few questions in the words of training, evenly drawn, the first subject included."""
    main = [item for item in items if item.aspect in MAIN_ASPECTS]
    step = max(1, len(main) // EXAMPLES)
    return [item.questions("sft")[0] for item in main[::step][:EXAMPLES]]


def introduction(items: Sequence[Item], questions: int, parameters: int) -> str:
    """Two sentences on what the model was taught, and on what it was not."""
    size = f"{parameters / 1e6:,.1f} million parameters"
    main = [item for item in items if item.aspect in MAIN_ASPECTS]
    if not main:
        return (
            f"A model of {size}, taught to answer from {questions:,} examples of your own. On anything that they do "
            "not cover its answers are guesses."
        )
    symbols = sum(item.aspect == "summary" for item in main)
    if symbols * 2 > len(main):
        taught = f"what the Python documentation says of {len(main):,} symbols"
    else:
        taught = f"what the documents say under {len(main):,} headings"
    return f"A model of {size}, taught {taught}. On anything else its answers are guesses, however sure they sound."
