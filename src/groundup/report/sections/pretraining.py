"""Learning the language of the documents: curves, and bits per byte against simpler models."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from groundup.report.configuration import ReportConfig
from groundup.report.diagrams.decoder import decoder
from groundup.report.markup import BAR, Html, bar, facts, figure, h3, join, number, p, side_by_side, table, tag, term
from groundup.report.plots import curve_of, curves
from groundup.report.run import Run
from groundup.report.sections.head import XZ
from groundup.report.wording import count, counted, decimal, millions, percent, relative, size

MODELS = {
    "model": ("the pretrained model", "it has read the training documents"),
    "ngram": (
        term("n-grams"),
        "counts of the bytes that follow each other in the training documents, up to {order} in a row",
    ),
    "xz_primed": (
        join([XZ, ", ", term("primed")]),
        "what xz adds for these documents after reading the training documents",
    ),
    "xz": (XZ, "a file compressor, on these documents alone"),
}


def pretraining(run: Run, config: ReportConfig) -> Html | None:
    """What was trained and how it went."""
    figures = run.figures("pretrain")
    if not figures:
        return None
    return join(
        [
            p(
                "The model learns to predict the next ",
                term("token"),
                ". The ",
                term("loss"),
                " is in ",
                term("nat", "nats"),
                " per token: how surprised it is on average, lower is better.",
            ),
            _model(run),
            _read(run),
            _curves(run),
            _tasks(run),
            *_bits(run),
        ]
    )


def _model(run: Run) -> Html:
    """The architecture, drawn from the model's own configuration, next to what was read."""
    figures, model = run.figures("pretrain"), run.model
    read = facts(
        [
            ("parameters", millions(figures["parameters"])),
            *([(f"in {part}", count(numbers)) for part, numbers in model.parts.items()] if model else []),
            ("tokens read", millions(figures["tokens"])),
            ("epochs", decimal(figures["epochs"], 2)),
            ("steps", count(figures["steps"])),
            ("precision", figures["precision"]),
            ("speed", _speed(run)),
        ]
    )
    if model is None:
        return read
    note = "From token ids at the foot to the next token's logits at the top; one layer is drawn out."
    return side_by_side(figure("The model", decoder(model, notes=False), note), read)


def _speed(run: Run) -> str | None:
    """The median over the steps, and its fraction of the arithmetic that this machine reaches in matmuls."""
    rows = run.metrics("pretrain")
    speeds = [row["tokens_per_second"] for row in rows if row.get("tokens_per_second")]
    utilisation = [row["mfu"] for row in rows if row.get("mfu")]
    if not speeds:
        return None
    of_ceiling = f", {percent(median(utilisation))} of the measured matmul ceiling" if utilisation else ""
    return f"{count(round(median(speeds)))} tokens/s{of_ceiling}"


def _read(run: Run) -> Html | None:
    """How often the documents of each source were read, where there are several."""
    epochs, sources = run.figure("pretrain", "source_epochs") or {}, run.figure("tokens", "train", "sources") or {}
    if len(epochs) < 2:
        return None
    read = {name: often * sources[name]["tokens"] for name, often in epochs.items() if name in sources}
    total = max(1.0, sum(read.values()))
    rows = [
        (name, count(sources[name]["tokens"]), bar(tokens / total), percent(tokens / total), decimal(epochs[name], 2))
        for name, tokens in sorted(read.items(), key=lambda item: -item[1])
    ]
    return table(["source", number("tokens"), BAR, number("of all tokens read"), number("times read")], rows)


def _curves(run: Run) -> Html | None:
    rows = run.metrics("pretrain")
    read = [row["loss"] for row in rows if row.get("loss") is not None]
    if not read:
        return None
    loss, validation = curve_of(rows, "loss", "training"), curve_of(rows, "heldout_loss", "validation", "b", dots=True)
    last = next((row["heldout_loss"] for row in reversed(rows) if row.get("heldout_loss") is not None), None)
    end = f"; the validation loss ends at {decimal(last, 2)}" if last is not None else ""
    drawing = curves(
        "pretrain-loss",
        f"Training loss over {len(rows)} steps, from {decimal(read[0], 2)} to {decimal(read[-1], 2)}{end}.",
        [loss, validation],
        y_label="nats per token",
        below=curve_of(rows, "learning_rate", "learning rate", "c"),
    )
    norms = curves(
        "pretrain-norm",
        "The gradient's norm over the steps.",
        [curve_of(rows, "gradient_norm", "gradient norm")],
        y_label="norm before clipping",
    )
    return side_by_side(
        figure("Loss", drawing, "The band spans the minimum and maximum of each stretch."),
        figure("Norm of the gradient", norms, "Spikes that stay would be a sign of a rate too high."),
    )


def _tasks(run: Run) -> Html | None:
    """What was scored during training (`validation_tasks`): the first score of each task."""
    rows = run.metrics("pretrain")
    first: dict[str, str] = {}
    for key in dict.fromkeys(key for row in rows for key in row if key.startswith("task/")):
        first.setdefault(key.split("/")[1], key)
    drawn = []
    for index, (name, key) in enumerate(first.items()):
        score = key.split("/")[2].replace("_", " ")
        drawing = curves(f"pretrain-task-{index}", f"{name}: {score} over the steps", [curve_of(rows, key, name)])
        drawn.append(figure(f"{name}: {score}", drawing, "A task that is asked at each validation."))
    return side_by_side(*drawn) if drawn else None


def _bits(run: Run) -> list[Html]:
    bits = run.figure("evaluate", "bits_per_byte")
    if not bits:
        return []
    title = h3("Bits per byte on held-out documents")
    if bits.get("model") is None:
        return [title, p("There are no held-out documents, so this could not be measured.")]
    order = run.loaded.blueprint.evaluate.ngram_order
    most = max(bits[name] for name in MODELS if bits.get(name) is not None)
    rows = [
        (
            join([label, tag("small", note.format(order=order))]),
            bar(bits[name] / most, "a" if name == "model" else "c"),
            decimal(bits[name], 3),
            None if name == "model" else relative(bits["model"], bits[name]),
        )
        for name, (label, note) in sorted(MODELS.items(), key=lambda one: bits.get(one[0]) or 0.0)
        if bits.get(name) is not None
    ]
    return [
        title,
        p(
            f"How many bits each needs to write a byte of the {counted(bits['documents'], 'held-out document')} "
            f"({size(bits['bytes'])}); 8 would be no knowledge at all. Unlike the loss, this does not depend on the "
            "tokenizer."
        ),
        table(["who", BAR, number("bits per byte"), number("the model needs")], rows),
        *_groups(bits),
    ]


def _groups(bits: Mapping[str, Any]) -> list[Html]:
    """The model's bits per byte by source, language and length, where there are several."""
    rows = [
        (f"{kind}: {name}", decimal(group["model"], 3), count(group["documents"]), size(group["bytes"]))
        for kind, groups in (bits.get("by") or {}).items()
        if len(groups) > 1
        for name, group in groups.items()
    ]
    return (
        [table(["of the held-out documents", number("bits per byte"), number("documents"), number("text")], rows)]
        if rows
        else []
    )
