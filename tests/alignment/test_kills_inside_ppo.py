"""SIGKILL in each phase of PPO: the stage that is started again ends with the files of the one that was not killed."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from test_stage import PPO, all_stages, start  # noqa: F401  (start is a fixture)
from test_stages_in_two_processes import part

import ranks
import tiny
from groundup.alignment import rollout
from groundup.alignment.policy import PolicyObjective
from groundup.alignment.rewards.model import ModelReward
from groundup.artifacts import Artifact
from groundup.inference.continuation import continue_prompts
from groundup.inference.engine import InferenceEngine
from groundup.parallel.configuration import ParallelConfig
from groundup.training import checkpoint

CONFIG = PPO.model_copy(update={"iterations": 3, "minibatch": 4, "epochs": 2, "checkpoint_seconds": 0.0})
UPDATES = CONFIG.epochs * -(-CONFIG.rollouts // CONFIG.minibatch)
PHASES: dict[str, tuple[Any, str, int]] = {  # (owner, function, the call of it in the third iteration that kills)
    "scoring": (ModelReward, "score", 5),  # the looks after each iteration score, too
    "update": (PolicyObjective, "loss", 2 * UPDATES + 2),
    "save": (checkpoint, "publish", 2),  # of the second, then
}


@pytest.fixture(scope="module")
def road(start: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:  # noqa: F811
    return all_stages(start, tmp_path_factory.mktemp("road"))


def content(processes: int, inputs: Mapping[str, Artifact], root: Path) -> tuple[str, dict[str, Any]]:
    """The stage, from where it is, to its end: the digest of its files, and its figures."""
    root.mkdir(exist_ok=True)
    for out in root.glob("rank-*"):
        out.rename(root / f"killed-{out.name}")
    config = CONFIG.model_copy(update={"parallel": ParallelConfig(dp_shard=processes)} if processes > 1 else {})
    figures, *_ = ranks.run(processes, part, "ppo", config, dict(inputs), root, seconds=100)
    return tiny.artifact(root / "rank-0", "ppo", figures).manifest.content, figures


@pytest.fixture(scope="module")
def uninterrupted(
    road: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], tuple[str, dict[str, Any]]]:
    found = dict[int, tuple[str, dict[str, Any]]]()

    def of(processes: int) -> tuple[str, dict[str, Any]]:
        if processes not in found:
            found[processes] = content(processes, road, tmp_path_factory.mktemp("whole") / "run")
        return found[processes]

    return of


def nth(function: Callable[..., Any], instead: Callable[..., Any], at: int) -> Callable[..., Any]:
    """The function, but `instead` at its `at`-th call in a process."""
    calls = 0

    def counted(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return (instead if calls == at else function)(*given, **named)

    return counted


def killing(function: Callable[..., Any], rank: int, at: int) -> Callable[..., Any]:
    """The function, which kills the process of that rank when it is called there for the `at`-th time."""

    def dying(*given: Any, **named: Any) -> Any:
        if os.environ.get("RANK") == str(rank):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)

    return nth(function, dying, at)


def kill(phase: str, patch: pytest.MonkeyPatch) -> None:
    """Let the first process die in that phase."""
    if phase == "rollout":

        def third(*given: Any, **named: Any) -> Any:
            patch.setattr(InferenceEngine, "step", killing(InferenceEngine.step, rank=0, at=3))
            return continue_prompts(*given, **named)

        patch.setattr(rollout, "continue_prompts", nth(continue_prompts, third, at=3))
        return
    owner, name, at = PHASES[phase]
    patch.setattr(owner, name, killing(getattr(owner, name), rank=0, at=at))


@pytest.mark.parametrize("phase", ["rollout", *PHASES])
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stage_that_is_killed_ends_as_if_it_had_not_been(
    phase: str, processes: int, road: dict[str, Artifact], uninterrupted: Any, tmp_path: Path
) -> None:
    """Of two processes the first dies, and the other is ended, as a launcher would."""
    expected = uninterrupted(processes)
    with pytest.MonkeyPatch.context() as patch:
        kill(phase, patch)
        with pytest.raises(AssertionError, match="died without a word"):
            content(processes, road, tmp_path / "run")
    kept = {folder.name for folder in (tmp_path / "run" / "keep").glob("checkpoint-*")}
    assert {"checkpoint-000000001"} <= kept <= {"checkpoint-000000001", "checkpoint-000000002"}
    assert content(processes, road, tmp_path / "run") == expected
