"""The model card that goes along with an exported model: a README in the form of Hugging Face's hub.

It is written from the run's own figures: what the model was made from and under which licences, what curation dropped,
how the model was trained, its scores with their intervals, and its limits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from groundup.artifacts import Figures
from groundup.model.configuration import LLMConfig

METHODS = {"ppo": "PPO", "dpo": "DPO", "grpo": "GRPO"}
SETS = {
    "taught": "questions in a phrasing of the training",
    "unseen": "questions in phrasings that were not used in training",
    "given": "the user's own questions",
}


def model_card(name: str, config: LLMConfig, figures: Mapping[str, Figures], files: Sequence[str]) -> str:
    """Markdown with the hub's YAML head.

    Args:
        figures: of the run's stages, by name; what a stage didn't measure is not mentioned.
        files: the exported weights' names.
    """
    method = next((one for one in METHODS if one in figures), None)
    parts = [
        _head(figures),
        f"# {_line(name)}",
        f"A language model of {config.num_parameters / 1e6:,.1f} million parameters, trained from scratch by groundup"
        + (f" and aligned with {METHODS[method]}" if method else "")
        + f". Context: {config.max_position_embeddings:,} tokens. Files: {', '.join(f'`{one}`' for one in files)}.",
        _sources(figures.get("curate", {})),
        _dropped(figures.get("curate", {})),
        _training(figures),
        _scores(figures.get("evaluate", {})),
        _limits(figures),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(figures: Mapping[str, Figures]) -> str:
    found = figures.get("curate", {}).get("languages") or {}
    languages = [name for name in found if name and not name.startswith("und")]  # `und-Cyrl`: no more than the script
    head = ["---", "library_name: transformers", "pipeline_tag: text-generation", "tags: [groundup]"]
    if languages:
        head.append(f"language: [{', '.join(languages[:10])}]")
    return "\n".join([*head, "---"])


def _sources(curate: Figures) -> str:
    if not curate.get("sources"):
        return ""
    rows = [
        (source, licence or "not stated", documents)
        for source, of_source in curate["sources"].items()
        for licence, documents in of_source["licences"].items()
    ]
    rows.sort(key=lambda row: -row[2])
    return (
        "## Training data\n\n"
        f"{curate['documents']:,} documents, {curate['bytes'] / 1e6:,.1f} MB of text. The licences are those that the "
        "sources state; what a licence asks of a model that was trained on the text is for you to judge.\n\n"
        + _table(("source", "licence", "documents"), rows)
    )


def _dropped(curate: Figures) -> str:
    if not curate.get("dropped"):
        return ""
    rows = sorted(curate["dropped"].items(), key=lambda one: -one[1])
    heldout = curate.get("heldout_documents")
    note = f"\n\n{heldout:,} documents are a held-out set that no training has read." if heldout else ""
    return f"## What curation dropped\n\n{_table(('rule', 'documents'), rows)}{note}"


def _training(figures: Mapping[str, Figures]) -> str:
    rows: list[tuple[str, str]] = []
    if pretrain := figures.get("pretrain"):
        rows.append(("pretraining", f"{pretrain['tokens']:,} tokens, {pretrain['epochs']:.2f} epochs"))
    if sft := figures.get("sft"):
        origin = "made from the documents" if sft.get("made_from_documents") else "from a file"
        rows.append(("SFT", f"{sft['examples']:,} examples {origin}"))
    if reward := figures.get("reward"):
        rows.append(("reward model", f"{reward['pairs']:,} preference pairs"))
    return f"## Training\n\n{_table(('stage', 'read'), rows)}" if rows else ""


def _scores(evaluate: Figures) -> str:
    rows: list[tuple[Any, ...]] = []
    bits = evaluate.get("bits_per_byte") or {}
    if bits.get("model") is not None:
        rows.append(("held-out bits per byte, pretrained model", f"{bits['model']:.3f} (xz -9: {bits['xz']:.3f})"))
    for model, by_set in (evaluate.get("answers") or {}).items():
        for asked, rates in by_set.items():
            value, n = rates["exact_match"], rates["questions"]
            margin = 1.96 * (value * (1 - value) / n) ** 0.5 if n else 0.0
            rows.append(
                (
                    f"exact match of {model}, {SETS.get(asked, asked)} (n = {n:,})",
                    f"{100 * value:.1f} % ± {100 * margin:.1f}",
                )
            )
    if gain := evaluate.get("true_score_gain"):
        method = METHODS.get(evaluate["method"], evaluate["method"])
        value = f"{100 * gain['mean']:+.1f} points, 95 % interval {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"
        rows.append((f"token F1 of {method} against SFT", value))
    note = "Intervals of exact match are 95 % normal approximations over questions."
    return f"## Scores\n\n{_table(('measure', 'score'), rows)}\n\n{note}" if rows else ""


def _limits(figures: Mapping[str, Figures]) -> str:
    subjects = figures.get("export", {}).get("subjects")
    taught = f" It was taught to answer about {subjects:,} subjects of its documents." if subjects else ""
    return (
        f"## Limits\n\nThis is a small model.{taught} Outside of what it was trained on its answers are guesses, "
        "however sure they sound; it has no knowledge of events after its documents, and no safety training. Don't "
        "rely on it where a wrong answer does harm."
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in row) + " |" for row in lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else _line(str(value))


def _line(text: str) -> str:
    """Text of documents inside Markdown: on one line, without markup."""
    escaped = "".join(f"\\{character}" if character in "\\|<>[]`*_#" else character for character in text)
    return " ".join(escaped.split())
