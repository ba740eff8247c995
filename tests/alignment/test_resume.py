"""SFT, reward and DPO are resumed bit for bit."""

from pathlib import Path

import pytest
from test_objectives import answers, dpo, reward, sft

import tiny
from groundup.alignment.answers import Answer
from groundup.alignment.reward import RewardModel
from groundup.alignment.sft import Lesson
from resuming import assert_resumes

LESSONS = [Lesson([one, Answer([7, *one.prompt], one.answer)]) for one in answers(9)]
MAKERS = {
    "sft": lambda seed: (tiny.engine(tiny.model(seed)), sft(LESSONS, 2, 2, validation=answers(3, 8))),
    "reward": lambda seed: (tiny.engine(RewardModel(tiny.model(seed))), reward(2, 2)),
    "dpo": lambda seed: (tiny.engine(tiny.model(seed)), dpo(2, 2)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_killed_run_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    assert_resumes(MAKERS[name], tmp_path)
