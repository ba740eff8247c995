"""The `export` stage: the aligned model as a folder that other programs load, with an account of what it was taught."""

import json
import shutil
from collections.abc import Mapping, Sequence

from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.durable import write_text
from groundup.export.configuration import ExportConfig
from groundup.export.folder import tokenizer_config
from groundup.inference.loading import CARD
from groundup.model.huggingface import save_huggingface
from groundup.model.weights import load_model, save_model
from groundup.tokenizer.chat import TEMPLATE
from groundup.tokenizer.of_run import tokenizer_file
from groundup.tokenizer.tokenizer import Tokenizer

MANY_TURNS = 2  # what a chat model from outside was trained on isn't known: it is shown whole conversations
EXAMPLES = 4  # questions offered to whoever opens a chat


def stage(config: ExportConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Write a Hugging Face folder: weights, configuration, tokenizer, chat template, and `groundup.json`."""
    method = next(name for name in ("ppo", "grpo", "dpo", "sft") if name in inputs)
    vocabulary = tokenizer_file(inputs)
    tokenizer = Tokenizer.load(vocabulary)
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
    shutil.copy(vocabulary, work.out / "tokenizer.json")
    write_text(work.out / "tokenizer_config.json", json.dumps(tokenizer_config(model.config.max_position_embeddings)))
    write_text(work.out / "chat_template.jinja", TEMPLATE)
    sft = inputs.get("sft")
    items = read_items(sft.file("items.jsonl")) if sft else []
    subjects = sorted({item.subject for item in items if item.aspect in MAIN_ASPECTS})
    card = {
        "name": config.name or "groundup",
        "method": method,
        "parameters": model.config.num_parameters,
        "subjects": subjects,
        "examples": example_questions(items),
        "turns": sft.figures["turns"] if sft else MANY_TURNS,
        "introduction": introduction(
            items,
            sft.figures["questions"] if sft else None,
            model.config.num_parameters,
            inputs["evaluate"].figures.get("answers", {}).get(method, {}) if "evaluate" in inputs else {},
        ),
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


def example_questions(items: Sequence[Item]) -> list[str]:
    """A few questions in the plainest words, evenly drawn, the first subject included."""
    main = [item for item in items if item.aspect in MAIN_ASPECTS]
    step = max(1, len(main) // EXAMPLES)
    return [item.plain_question for item in main[::step][:EXAMPLES]]


def introduction(
    items: Sequence[Item], questions: int | None, parameters: int, answers: Mapping[str, Mapping[str, float]]
) -> str:
    """What the model was taught, how often it was right when it was asked, and that the rest is guesses.

    Args:
        questions: that fine-tuning taught; None: a model from outside, of whose fine-tuning nothing is known.
        answers: the evaluation's rates by set of questions; without any no accuracy is claimed.
    """
    size = f"A model of {parameters / 1e6:,.1f} million parameters"
    main = [item for item in items if item.aspect in MAIN_ASPECTS]
    symbols = sum(item.aspect == "summary" for item in main)
    if questions is None:
        taught = f"{size}, a chat model from outside that was aligned here."
    elif not main:
        taught = f"{size}, taught to answer from {questions:,} examples of your own."
    elif symbols * 2 > len(main):
        taught = f"{size}, taught what the Python documentation says of {len(main):,} symbols."
    else:
        taught = f"{size}, taught what the documents say under {len(main):,} headings."
    return f"{taught} {_measured(answers)} On anything else its answers are guesses, however sure they sound."


def _measured(answers: Mapping[str, Mapping[str, float]]) -> str:
    for name, asked in (("unseen", " in phrasings that it had never seen"), ("given", "")):
        if rates := answers.get(name):
            return (
                f"Asked {rates['questions']:,} questions{asked}, it gave the right answer to the letter to "
                f"{rates['exact_match']:.1%} of them."
            )
    return "How often it is right was not measured."
