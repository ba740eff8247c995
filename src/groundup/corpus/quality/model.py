"""A trained classifier: margins, their calibration, and what it was trained on; a folder of two files.

quality.json        kind, calibration, configuration, figures of the held-out examples, SHA-256 of the other file
model.safetensors   the weights of a linear model, or
model.bin           a fastText model, as any fastText reads it
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groundup.artifacts.durable import sha256_of, write_text
from groundup.corpus.quality.calibration import Calibration
from groundup.errors import GroundupError

if TYPE_CHECKING:
    import pyarrow as pa

DESCRIPTION = "quality.json"
VERSION = 1
_AGAIN = "train it again with groundup corpus quality train"


class Classifier(Protocol):
    """What every kind of model can do."""

    @property
    def kind(self) -> str: ...

    @property
    def file(self) -> str:
        """The name of its file."""
        ...

    def margins(self, texts: "pa.Array") -> NDArray[np.float64]:
        """[texts] log odds of being good, before calibration."""
        ...

    def facts(self) -> dict[str, Any]: ...

    def save(self, path: Path) -> None: ...


@dataclass(frozen=True)
class Model:
    """A classifier whose scores are probabilities."""

    classifier: Classifier
    calibration: Calibration = field(default_factory=Calibration)
    training: dict[str, Any] = field(default_factory=dict)
    """What it was trained on and how it did, JSON-ready; empty for a model from elsewhere."""

    @property
    def kind(self) -> str:
        """`linear` or `fasttext`."""
        return self.classifier.kind

    def scores(self, texts: "Sequence[str] | pa.Array") -> NDArray[np.float32]:
        """[texts] how likely each is good, 0 to 1.

        Args:
            texts: strings, or Arrow strings without nulls.
        """
        if isinstance(texts, Sequence):
            import pyarrow as pa

            texts = pa.array(texts, pa.large_string())
        return self.calibration.scores(self.classifier.margins(texts)).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the model's two files; equal models give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.classifier.file
        self.classifier.save(path)
        description = {
            "version": VERSION,
            "kind": self.kind,
            "file": path.name,
            "sha256": sha256_of(path),
            "calibration": self.calibration.facts(),
            "classifier": self.classifier.facts(),
            "training": self.training,
        }
        write_text(folder / DESCRIPTION, json.dumps(description, indent=1, allow_nan=False) + "\n")


def load(path: Path, good_label: str = "") -> Model:
    """A model from the folder that `Model.save` wrote, or from a fastText `.bin`, whose chances are taken as they are.

    >>> import pathlib, tempfile
    >>> from groundup.corpus.quality import learn
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> learn([f"a reasoned text {n}" for n in range(60)], [f"buy now {n}" for n in range(60)]).model.save(folder)
    >>> load(folder).kind
    'linear'

    Args:
        path: the folder or the file.
        good_label: of a `.bin`: the label of good text; needed where it is none of the usual ones.

    Raises:
        GroundupError: it is missing, damaged or of another version, or the extra `fasttext` is.
    """
    from groundup.corpus.quality.fasttext import FastTextModel
    from groundup.corpus.quality.linear import LinearModel

    if path.is_file():
        return Model(FastTextModel.load(path, {"good_label": good_label}))
    description = _description(path)
    file = path / description["file"]
    kind: type[LinearModel] | type[FastTextModel] = LinearModel
    if description["kind"] == FastTextModel.kind:
        kind = FastTextModel
    return Model(
        kind.load(file, description["classifier"]), Calibration(**description["calibration"]), description["training"]
    )


def files(path: Path) -> list[Path]:
    """The files that a model consists of, for digests.

    Raises:
        GroundupError: it is missing or damaged.
    """
    return [path] if path.is_file() else [path / DESCRIPTION, path / _description(path)["file"]]


def _description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        raise GroundupError(
            f"there is no {DESCRIPTION} in it" if folder.is_dir() else "no such file or folder",
            where=str(folder),
            do="name a folder that groundup corpus quality train wrote, or a fastText .bin",
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version, file = int(found["version"]), str(found["file"])
        known = found["kind"] in ("linear", "fasttext") and found["calibration"].keys() == {"slope", "intercept"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise GroundupError(f"can't be read ({error!r})", where=str(path), do=_AGAIN) from error
    if version != VERSION or not known:
        raise GroundupError(f"describes no model of version {VERSION}", where=str(path), do=_AGAIN)
    if Path(file).name != file or not (folder / file).is_file():
        raise GroundupError(f"names {file}, which is not next to it", where=str(path), do=_AGAIN)
    if sha256_of(folder / file) != found["sha256"]:
        raise GroundupError("has changed since the model was saved", where=str(folder / file), do=_AGAIN)
    return dict(found)
