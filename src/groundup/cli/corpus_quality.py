"""`groundup corpus quality`: train and evaluate a quality classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from groundup.corpus.quality.evaluation import Evaluation

verbs = typer.Typer(
    help="Quality classifiers: trained from your examples, measured on held-out ones.", no_args_is_help=True
)

Labelled = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="jsonl or parquet rows with a text and a label; repeat for more."),
]
Text = Annotated[str, typer.Option(metavar="COLUMN", help="The column that holds the text.")]
Label = Annotated[str, typer.Option(metavar="COLUMN", help="The column of --labelled that holds the label.")]


@verbs.command()
def train(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write the model into.")],
    labelled: Labelled = None,
    good: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="A file or folder of good text; repeat for more.")
    ] = None,
    bad: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="The same of bad text, or of the crawl.")
    ] = None,
    kind: Annotated[str, typer.Option(help="`linear`, or `fasttext` (needs the extra).")] = "linear",
    text: Text = "text",
    label: Label = "label",
    heldout: Annotated[float, typer.Option(help="Fraction of the examples kept for measuring.")] = 0.2,
    documents: Annotated[int, typer.Option(help="Most documents taken of good and bad each.")] = 200_000,
    epochs: Annotated[int | None, typer.Option(help="Times that each example is seen.")] = None,
    seed: Annotated[int, typer.Option(help="Of the order in which examples are seen.")] = 1337,
) -> None:
    """Train a classifier, calibrate it and say how good it is; use it with curate.quality.model."""
    from groundup.cli.stopping import stopping_in_one_line

    with stopping_in_one_line():
        from groundup.corpus.quality.examples import read_examples
        from groundup.corpus.quality.training import train
        from groundup.errors import GroundupError
        from groundup.progress import for_terminal

        if good and not bad:
            raise GroundupError("there is --good without --bad", do="name its opposite too, e.g. the crawl")
        config = _configuration(
            labelled=labelled or (), good=good or (), bad=bad or (), kind=kind, text=text, label=label,
            heldout=heldout, documents=documents, epochs=epochs, seed=seed,
        )  # fmt: skip
        progress = for_terminal()
        examples = read_examples(config, Path.cwd(), progress=progress)
        trained = train(examples, config, progress)
        trained.model.save(out)
        learned = trained.model.training["examples"]["learned"]
        print(f"learned from {learned['documents']:,} documents, of them {learned['good']:,} good")
        for reason, count in examples.skipped.items():
            print(f"skipped: {count:,}, {reason}")
        _show(trained.evaluation)
        print(f"written to {out}")


@verbs.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A folder that `train` wrote, or a fastText .bin.")],
    labelled: Labelled = None,
    text: Text = "text",
    label: Label = "label",
    threshold: Annotated[float, typer.Option(help="A document of this score or more is called good.")] = 0.5,
    good_label: Annotated[str, typer.Option(help="Of a .bin from elsewhere: the label of good text.")] = "",
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write all figures there too.")] = None,
) -> None:
    """Measure a classifier on labelled documents; they should be others than it learned from."""
    from json import dumps

    from groundup.artifacts.durable import write_text
    from groundup.corpus.quality.evaluation import evaluate
    from groundup.corpus.quality.examples import read_examples
    from groundup.corpus.quality.model import load

    config = _configuration(labelled=labelled or (), text=text, label=label)
    examples = read_examples(config, Path.cwd())
    evaluation = evaluate(load(model, good_label).scores(examples.texts), examples.good, threshold)
    _show(evaluation)
    if json is not None:
        write_text(json, dumps(evaluation.figures(), indent=1) + "\n")
        print(f"written to {json}")


def _configuration(**fields: Any) -> Any:
    """The training's configuration; an error in it names the option."""
    from pydantic import ValidationError

    from groundup.corpus.quality.configuration import QualityTraining
    from groundup.errors import GroundupError

    try:
        return QualityTraining(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = f"--{first['loc'][0]}" if first["loc"] else None
        message = str(first["msg"]).removeprefix("Value error, ")
        raise GroundupError(message, where=option, do="see groundup corpus quality --help") from error


def _show(evaluation: Evaluation) -> None:
    """Each figure with its standard error."""
    print(
        f"measured on {evaluation.documents:,} documents, of them {evaluation.good:,} good; "
        f"threshold {evaluation.threshold:g} keeps {evaluation.kept:.1%}"
    )
    for name in ("accuracy", "precision", "recall", "f1", "auc"):
        estimate = getattr(evaluation, name)
        value = "-" if estimate.value is None else f"{estimate.value:.3f}"
        error = "" if estimate.standard_error is None else f" +- {estimate.standard_error:.3f}"
        print(f"{name:<18}{value}{error}")
    print(f"{'calibration error':<18}{evaluation.calibration_error:.3f}")
