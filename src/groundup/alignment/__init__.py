"""From a language model to an assistant: fine-tuning, reward models, preferences and reinforcement learning.

    >>> from torch import tensor
    >>> from groundup.alignment import losses
    >>> losses.bradley_terry(tensor([1.0, 0.2]), tensor([0.0, 0.5]), reduction="none")
    tensor([0.3133, 0.8544])

`fine_tune`, `fit_reward`, `fit_preferences` (DPO and its relatives) and `fit_policy` (PPO, GRPO and their relatives)
train a model with one call each. `losses` and `advantages` are their formulas, as pure functions of tensors, with
`reduction=`. `Task` is a prompt with what its answers are checked by.
"""

from typing import TYPE_CHECKING

from groundup.lazy import exports

if TYPE_CHECKING:
    from groundup.alignment import advantages, losses
    from groundup.alignment.data.records import Task
    from groundup.alignment.fitting import fine_tune, fit_policy, fit_preferences, fit_reward

__all__ = ["Task", "advantages", "fine_tune", "fit_policy", "fit_preferences", "fit_reward", "losses"]
__getattr__, __dir__ = exports(
    __name__,
    {
        "Task": "groundup.alignment.data.records:Task",
        "advantages": "groundup.alignment.advantages",
        "fine_tune": "groundup.alignment.fitting:fine_tune",
        "fit_policy": "groundup.alignment.fitting:fit_policy",
        "fit_preferences": "groundup.alignment.fitting:fit_preferences",
        "fit_reward": "groundup.alignment.fitting:fit_reward",
        "losses": "groundup.alignment.losses",
    },
)
