"""Draws the section on ten billion documents in docs/scale.md from benchmarks/results/scale.json.

make bench NAME=scale JSON=benchmarks/results/scale.json; python tools/scale_table.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs" / "scale.md", ROOT / "benchmarks" / "results" / "scale.json"
START, END = "<!-- billions: drawn by tools/scale_table.py -->\n", "<!-- end of billions -->\n"
DOCUMENTS = 10_000_000_000
NODES, CORES = (1, 16, 64), 64
_PER_MILLION = " per million documents"


def section(rows: list[dict[str, Any]]) -> str:
    """The table of what was measured, and the one that follows from its largest case."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["case"], {})[row["metric"].removesuffix(_PER_MILLION)] = row["ours"]
    cases = {case: one for case, one in found.items() if "cpu" in one}
    measured = "".join(
        f"| {case} | {one['cpu']:.1f} s | {one['disk']:,.0f} MB | {one['shuffled']:,.0f} MB | "
        f"{one['peak memory of all processes']:,.0f} MB |\n"
        for case, one in cases.items()
    )
    case, most = list(cases.items())[-1]
    recalls = found[case.partition(",")[0]]
    times = DOCUMENTS / 1e6
    hours, disk, sent = most["cpu"] / CORES / 3600, most["disk"] / 1e6, 2 * most["shuffled"] / 1e6
    far = "".join(
        f"| {nodes} | {times * hours / nodes:,.2f} | {times * disk / nodes:,.2f} TB | "
        f"{times * sent * (nodes - 1) / nodes**2:,.2f} TB |\n"
        for nodes in NODES
    )
    return (
        "| measured | processor time per million | disk per million | of that between phases | peak memory |\n"
        f"|---|---|---|---|---|\n{measured}\n"
        f"Of the planted near-duplicates {recalls['recall of near-duplicates']:.4f} were found, of the exact ones "
        f"{recalls['recall of exact duplicates']:.4f}; of what was dropped {recalls['precision']:.4f} was planted.\n\n"
        f"Ten billion documents at the cost of the last row, on nodes of {CORES} cores:\n\n"
        f"| nodes | hours | disk per node | sent and received per node |\n|---|---|---|---|\n{far}"
    )


def drawn(page: str) -> str:
    """`page` with the section between its marks."""
    before, rest = page.split(START)
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    return f"{before}{START}{section(rows)}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
