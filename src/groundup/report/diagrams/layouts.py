"""Which process holds what under each way of spreading a model, and memory by part."""

from __future__ import annotations

from collections.abc import Mapping

from groundup.model.configuration import LLMConfig
from groundup.parallel.configuration import ParallelConfig
from groundup.planning.ranks import RankBatch, rank_memory, sent_bytes
from groundup.report import wording
from groundup.report.diagrams.canvas import Canvas
from groundup.report.markup import Html

KINDS = ("a", "b", "c", "soft", "plain", "none")


def layouts(ranks: int = 4, layers: int = 4) -> Html:
    """The parts of a model (layers from below, columns of their matrices) and of a batch on each process."""
    ways = {
        "data parallel": "every layer whole; another part of the batch",
        "FSDP": "a shard of every layer; gathered when it is used",
        "tensor parallel": "some columns of every matrix; the same batch",
        "pipeline parallel": "some of the layers; micro-batches in turn",
        "context parallel": "every layer whole; a part of every sequence",
    }
    high, left = 84, 178
    canvas = Canvas(640, 34 + high * len(ways))
    for rank in range(ranks):
        canvas.words(left + 58 + rank * 116, 14, f"rank {rank}", bold=True, size=12.5)
    for number, (way, meaning) in enumerate(ways.items()):
        y = 34 + number * high
        canvas.words(8, y + 22, way, anchor="start", bold=True, size=13)
        first, _, second = meaning.partition("; ")
        canvas.words(8, y + 41, first, anchor="start", size=11, colour="soft")
        canvas.words(8, y + 56, second, anchor="start", size=11, colour="soft")
        for rank in range(ranks):
            x = left + 12 + rank * 116
            for layer in range(layers):
                top = y + 54 - 13 * layer
                canvas.cell(x, top, 56, 11, "line", 0.6)
                if way in ("data parallel", "context parallel"):
                    canvas.cell(x, top, 56, 11, "a", 0.75)
                elif way == "FSDP":
                    canvas.cell(x + 56 * rank / ranks, top, 56 / ranks, 11, "a", 0.75)
                elif way == "tensor parallel":
                    canvas.cell(x + 56 * rank / ranks, top, 56 / ranks, 11, "a", 0.95)
                elif layer * ranks // layers == rank:
                    canvas.cell(x, top, 56, 11, "a", 0.75)
            for line in range(ranks):
                top = y + 54 - 13 * line
                canvas.cell(x + 62, top, 36, 11, "line", 0.6)
                if way in ("data parallel", "FSDP") and line == rank:
                    canvas.cell(x + 62, top, 36, 11, "b", 0.75)
                elif way == "context parallel":
                    canvas.cell(x + 62 + 36 * rank / ranks, top, 36 / ranks, 11, "b", 0.75)
                elif way in ("tensor parallel", "pipeline parallel"):
                    canvas.cell(x + 62, top, 36, 11, "b", 0.75)
    return canvas.svg(f"What each of {ranks} processes holds of a model and of a batch under five layouts")


def bars(rows: Mapping[str, Mapping[str, float]], label: str, unit: str = "bytes") -> Html:
    """A horizontal bar a row, split into its parts, with the sum; one scale for all. Values are bytes or shares."""
    names = list(dict.fromkeys(part for parts in rows.values() for part in parts))
    most = max(sum(parts.values()) for parts in rows.values())
    left, wide, high = 170, 360, 32
    lines = -(-len(names) // 4)
    canvas = Canvas(640, 20 * lines + 14 + high * len(rows))
    for number, name in enumerate(names):
        x, y = 12 + (number % 4) * 157, 12 + 20 * (number // 4)
        canvas.box(x, y - 6, 14, 12, kind=KINDS[number % len(KINDS)])
        canvas.words(x + 18, y, name, anchor="start", size=12)
    for number, (row, parts) in enumerate(rows.items()):
        top, end = 20 * lines + 10 + number * high, float(left)
        canvas.words(left - 10, top + 11, row, anchor="end", size=12)
        for name, value in parts.items():
            w = wide * value / most
            if w >= 0.5:
                canvas.box(end, top, w, 22, kind=KINDS[names.index(name) % len(KINDS)])
            end += w
        total = sum(parts.values())
        shown = wording.size(total) if unit == "bytes" else wording.percent(total)
        canvas.words(end + 8, top + 11, shown, anchor="start", size=12, bold=True)
    return canvas.svg(label)


def memory_of_layouts(model: LLMConfig, among: Mapping[str, ParallelConfig], sequence: int) -> Html:
    """What a process holds in pretraining under each layout, by part, with one sequence a micro-batch."""
    rows = {
        name: {
            part: float(size) for part, size in rank_memory(model, layout, RankBatch(1, sequence, layout.pp)).items()
        }
        for name, layout in among.items()
    }
    return bars(rows, "Memory of a process by part, under each layout")


def traffic_of_layouts(model: LLMConfig, among: Mapping[str, ParallelConfig], sequence: int) -> Html:
    """What a process sends in a step under each layout, with one sequence a micro-batch."""
    rows = {
        name: {way: float(size) for way, size in sent_bytes(model, layout, RankBatch(1, sequence, layout.pp)).items()}
        for name, layout in among.items()
    }
    return bars(rows, "Bytes that a process sends in a step, under each layout")


def pipeline_schedule(stages: int = 4, micro_batches: int = 6) -> Html:
    """1F1B: when each stage works forward and backward on which micro-batch, and when it waits."""
    plans = []
    for stage in range(stages):
        warm = min(stages - stage, micro_batches)
        order = [("f", m) for m in range(warm)]
        for m in range(micro_batches):
            order.append(("b", m))
            if warm + m < micro_batches:
                order.append(("f", warm + m))
        plans.append(order)
    ends: dict[tuple[str, int, int], float] = {}
    starts: dict[tuple[str, int, int], float] = {}
    free, at = [0.0] * stages, [0] * stages
    while any(at[s] < len(plans[s]) for s in range(stages)):
        for s in range(stages):
            while at[s] < len(plans[s]):
                kind, m = plans[s][at[s]]
                need = ("f", s - 1, m) if kind == "f" else ("b", s + 1, m)
                inside = 0 <= need[1] < stages
                if inside and need not in ends:
                    break
                begin = max(free[s], ends[need] if inside else 0.0)
                starts[kind, s, m] = begin
                ends[kind, s, m] = free[s] = begin + (1 if kind == "f" else 2)
                at[s] += 1
    total = max(ends.values())
    left, wide, high = 66, 560, 30
    canvas = Canvas(640, high * stages + 30)
    for s in range(stages):
        canvas.words(left - 8, 14 + s * high, f"stage {s}", anchor="end", size=12)
        canvas.cell(left, 2 + s * high, wide, high - 6, "line", 0.4)
    for (kind, s, m), begin in starts.items():
        w = wide * (1 if kind == "f" else 2) / total
        canvas.box(
            left + begin * wide / total, 2 + s * high, w, high - 6, str(m), kind="a" if kind == "f" else "b", size=11
        )
    canvas.words(
        left,
        high * stages + 16,
        "solid outline: forward; dashed: backward; empty: waiting",
        anchor="start",
        size=12,
        colour="soft",
    )
    return canvas.svg(f"A pipeline of {stages} stages and {micro_batches} micro-batches under 1F1B")
