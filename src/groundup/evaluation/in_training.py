"""Evaluation tasks while a model trains: `pretrain.validation_tasks`, asked at each validation.

The scores are in `records/metrics.jsonl` and in the stage's figures, as `task/NAME/SCORE`. Training doesn't notice: the
weights are those that it would have without tasks.
"""

from collections.abc import Mapping, Sequence

import torch

from groundup.artifacts import Artifact, Figures, Work
from groundup.errors import GroundupError
from groundup.evaluation.tasks.run import run_task
from groundup.evaluation.tasks.task import EvalTask, read_task
from groundup.inference.loading import LoadedModel
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import Engine
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.configuration import PretrainConfig
from groundup.training.stage import stage

WITHOUT_ERROR = ("perplexity", "bits_per_byte")  # scores that are a number; all others have a standard error


class TaskScores:
    """The scores of a model in training.

    Raises:
        GroundupError: two tasks have the same name.
    """

    def __init__(self, tasks: Sequence[EvalTask], tokenizer: Tokenizer) -> None:
        names = [task.name for task in tasks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise GroundupError(
                f"two tasks are called {twice[0]}", where="pretrain.validation_tasks", do="give each a name of its own"
            )
        self.tasks, self.tokenizer = tasks, tokenizer

    @torch.no_grad()
    def __call__(self, engine: Engine) -> dict[str, float]:
        """`task/NAME/SCORE` for each score of each task. Collective.

        Raises:
            GroundupError: a task's data can't be read, or a row lacks a field.
        """
        stop = frozenset({self.tokenizer.end, self.tokenizer.end_of_text})
        found: dict[str, float] = {}
        with engine.whole() as model:
            assert isinstance(model, CustomLanguageModel)
            loaded = LoadedModel("training", model, self.tokenizer, stop)
            for task in self.tasks:
                for name, score in run_task(task, loaded).items():
                    if isinstance(score, dict):
                        found[f"task/{task.name}/{name}"] = score["value"]
                    elif name in WITHOUT_ERROR:
                        found[f"task/{task.name}/{name}"] = score
        return found


def pretrain(config: PretrainConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """The stage `pretrain`, with a look at its `validation_tasks` at each validation.

    Raises:
        GroundupError: a task can't be read, and as the stage itself.
    """
    tasks = [read_task(work.base / path.expanduser()) for path in config.validation_tasks]
    tokenizer = Tokenizer.load(inputs["tokenizer"].file("tokenizer.json"))
    return stage(config, inputs, work, TaskScores(tasks, tokenizer))
