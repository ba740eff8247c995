"""Quality classifiers: trained from a person's own examples, measured on held-out examples, applied to a crawl.

    >>> from groundup.corpus import quality
    >>> good = [f"A careful explanation of step {n}, with reasons." for n in range(60)]
    >>> bad = [f"buy now cheap offer {n} click here" for n in range(60)]
    >>> trained = quality.learn(good, bad)
    >>> scores = trained.model.scores(["An explanation, with reasons.", "click here, buy now"])
    >>> bool(scores[0] > scores[1])
    True

`trained.evaluation` holds accuracy, AUC and calibration on examples that weren't learned from. `trained.model.save`
writes a folder that `load` reads, and that `curate.quality.model` in a blueprint names. From files, with sampling:
`read_examples(config, base)` and `train(examples, config)`.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.corpus.quality.model import load
    from groundup.corpus.quality.training import learn

__all__ = ["learn", "load"]
__getattr__, __dir__ = exports(
    __name__,
    {"learn": "groundup.corpus.quality.training:learn", "load": "groundup.corpus.quality.model:load"},
)
