"""How to run it again: the commands, and what must be the same."""

from __future__ import annotations

import shlex

from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, code, join, p, tag
from groundup.report.run import Run

PACKAGES = ("groundup", "torch", "numpy", "numba", "pyarrow")  # whose versions can change a result


def again(run: Run, config: ReportConfig) -> Html | None:
    """The commands that make this run once more; None where nothing was made."""
    made = next((artifact.manifest.provenance for artifact in run.artifacts.values()), None)
    if made is None:
        return None
    overrides = "".join(f" --set {shlex.quote(one)}" for one in run.loaded.overrides)
    versions = " ".join(f"{name}=={str(made[name]).partition('+')[0]}" for name in PACKAGES if made.get(name))
    commands = [
        f"pip install {versions}" if versions else None,
        f"groundup run blueprint.source.yaml{overrides} --run again",
        f"groundup compare {run.name} again",
    ]
    return join(
        [
            p(
                "The blueprint lies in the run's folder as it was written, ",
                code("blueprint.source.yaml"),
                "; relative paths in it start at the folder where you put it.",
            ),
            tag("pre", "\n".join(one for one in commands if one), class_="commands"),
            p(
                f"With seed {run.loaded.blueprint.seed}, the same documents, versions, kind of processor and number of "
                "threads the model is the same bit for bit, and ",
                code("compare"),
                " finds no difference. Elsewhere rounding differs, and figures by about as much as another seed's.",
            ),
        ]
    )
