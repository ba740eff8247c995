"""The stages of a blueprint, the way of a document, and how PPO's models work together."""

from __future__ import annotations

from groundup.blueprint.configuration import Blueprint
from groundup.pipeline.graph import stages
from groundup.report.diagrams.canvas import Canvas, row
from groundup.report.markup import Html

KINDS = {"curate": "a", "tokenizer": "a", "tokens": "a", "evaluate": "soft", "export": "soft", "report": "soft"}


def stage_graph(blueprint: Blueprint) -> Html:
    """Every stage with arrows from its inputs; the report, which reads all of them, is drawn without."""
    among = [stage for stage in stages(blueprint) if stage.name != "report"]
    depth: dict[str, int] = {}
    for stage in among:
        depth[stage.name] = 1 + max((depth[name] for name in stage.inputs), default=-1)
    columns: dict[int, list[str]] = {}
    for name, column in depth.items():
        columns.setdefault(column, []).append(name)
    w, h, gap = 76, 36, 18
    canvas = Canvas(len(columns) * (w + gap) + 10, 190)
    at = {}
    for column, names in columns.items():
        for number, name in enumerate(names):
            at[name] = (8 + column * (w + gap), 76 + (number - (len(names) - 1) / 2) * 74)
    for stage in among:
        x, y = at[stage.name]
        near = [name for name in stage.inputs if depth[name] == depth[stage.name] - 1]
        for number, name in enumerate(stage.inputs):
            x0, y0 = at[name]
            if name in near:
                canvas.arrow((x0 + w, y0 + h / 2), (x - 2, y + h / 2))
            else:  # around the stages between
                lane = 168 + 5 * (number % 4)
                canvas.arrow(
                    (x0 + w / 2, y0 + h), (x0 + w / 2, lane), (x + w / 2, lane), (x + w / 2, y + h + 2), dashed=True
                )
    for name, (x, y) in at.items():
        canvas.box(x, y, w, h, name, kind=KINDS.get(name, "b"))
    return canvas.svg(f"The stages {', '.join(at)} and what each reads")


def document_way() -> Html:
    """From a source to a loss: what becomes of one document."""
    canvas = Canvas(640, 224)
    row(canvas, 10, 20, 130, 52, 33, [
        ("source\nfile, archive, page", "soft"), ("extraction\ntext out of markup", "a"),
        ("filters\nrules with reasons", "a"), ("near-duplicates\none of each is kept", "a"),
    ])  # fmt: skip
    canvas.arrow((564, 72), (564, 96), (75, 96), (75, 148))
    row(canvas, 10, 150, 130, 52, 33, [
        ("redaction\nnames and keys", "a"), ("tokens\nids and documents", "b"),
        ("samples\nin a fixed order", "b"), ("loss\nof every token", "c"),
    ])  # fmt: skip
    canvas.words(320, 86, "what is dropped goes to the ledger, with the rule that dropped it", size=12, colour="soft")
    canvas.words(320, 218, "each token still knows its document, and each document its licence", size=12, colour="soft")
    return canvas.svg("A document passes extraction, filters, near-duplicates and redaction, and becomes tokens")


def ppo_flow() -> Html:
    """Who gives what to whom in one iteration of PPO."""
    canvas = Canvas(640, 300)
    canvas.box(20, 120, 110, 52, "questions", kind="soft")
    canvas.box(180, 120, 120, 52, "policy", "answers", kind="a")
    canvas.box(370, 20, 130, 48, "reward model", "scores whole answers", kind="b")
    canvas.box(370, 92, 130, 48, "reference", "log-probabilities", kind="c")
    canvas.box(370, 164, 130, 48, "critic", "value of each token", kind="a")
    canvas.box(530, 92, 100, 48, "advantages", "by token", kind="soft")
    canvas.arrow((130, 146), (178, 146))
    for y in (44, 116, 188):
        canvas.arrow((300, 146), (334, 146), (334, y), (368, y))
    canvas.arrow((500, 44), (580, 44), (580, 90))
    canvas.arrow((500, 116), (528, 116))
    canvas.arrow((500, 188), (580, 188), (580, 142))
    canvas.arrow((606, 140), (606, 262), (240, 262), (240, 174))
    canvas.arrow((435, 262), (435, 214))
    canvas.words(
        420, 278, "clipped steps: the policy towards advantage, the critic towards returns", size=12, colour="soft"
    )
    canvas.words(152, 106, "sampled", size=11.5, colour="soft")
    return canvas.svg("The policy answers; reward model, reference and critic judge; advantages move policy and critic")
