"""The training loop, its schedules and its optimizers.

    >>> from groundup.model import CustomLanguageModel, LLMConfig
    >>> from groundup.training import LoopConfig, fit
    >>> model = CustomLanguageModel(LLMConfig(vocab_size=8, hidden_size=32, num_hidden_layers=1), seed=0)
    >>> config = LoopConfig(schedule="wsd", warmup=0.1, ema=0.9)
    >>> rows = fit(model, [0, 1, 2, 3, 4, 5, 6, 7] * 50, steps=10, sequence=16, config=config)
    >>> len(rows), sorted(rows[-1])[:3]
    (10, ['gradient_norm', 'learning_rate', 'loss'])

`fit` trains a model on tokens. `LoopConfig` is what a stage's section in a blueprint takes: `ScheduleConfig`,
`UpdateConfig` (with an `OptimizerConfig`) and `CheckpointConfig` in one. `learning_rate` is the schedule by itself. An
`Objective` is anything else to train, with `groundup.training.loop.train`.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.training.configuration import LoopConfig, OptimizerConfig, ScheduleConfig
    from groundup.training.fitting import fit
    from groundup.training.objective import Objective
    from groundup.training.schedule import learning_rate

__all__ = ["LoopConfig", "Objective", "OptimizerConfig", "ScheduleConfig", "fit", "learning_rate"]
__getattr__, __dir__ = exports(
    __name__,
    {
        "LoopConfig": "groundup.training.configuration:LoopConfig",
        "Objective": "groundup.training.objective:Objective",
        "OptimizerConfig": "groundup.training.configuration:OptimizerConfig",
        "ScheduleConfig": "groundup.training.configuration:ScheduleConfig",
        "fit": "groundup.training.fitting:fit",
        "learning_rate": "groundup.training.schedule:learning_rate",
    },
)
