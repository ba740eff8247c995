"""The gallery's blueprint of sums: its head writes the files that it reads, and each sum is in one of them."""

import subprocess
import sys
from pathlib import Path

from benchmarks.arithmetic import COMMON, JOB, METHODS
from groundup.alignment.data.data_reading import read_conversations, read_tasks
from groundup.blueprint import gallery
from groundup.blueprint.load import load


def lines() -> str:
    """The program in the blueprint's comments."""
    head = gallery.text("rlvr-arithmetic").partition("# This writes them:\n#\n")[2]
    return "".join(line[4:] + "\n" for line in head.partition("\n\n")[0].splitlines())


def test_the_files_that_it_writes_are_read(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", lines()], cwd=tmp_path, check=True)
    (tmp_path / "blueprint.yaml").write_text(gallery.text("rlvr-arithmetic"))
    blueprint = load(tmp_path / "blueprint.yaml").blueprint
    assert blueprint.sft.data and blueprint.grpo.data and blueprint.evaluate.data
    examples = read_conversations(tmp_path / blueprint.sft.data)
    tasks, exam = (read_tasks(tmp_path / path) for path in (blueprint.grpo.data, blueprint.evaluate.data))
    asked = [{one.prompt[0]["content"] for _, one in file.records} for file in (examples, tasks, exam)]
    asked.append({f"{line.partition('=')[0]}=" for line in (tmp_path / "sums.txt").read_text().splitlines()})
    assert len(set.union(*asked)) == sum(map(len, asked)) == 70_000
    task = tasks.records[0][1]
    assert int(task.answer[::-1]) == sum(map(int, task.question.rstrip("=").split("+")))
    assert not any(file.skipped for file in (examples, tasks, exam))


def test_its_settings_are_those_that_the_benchmark_measures() -> None:
    config = load(gallery.FOLDER / "rlvr-arithmetic.yaml").blueprint.grpo
    settings, rate, iterations = METHODS["grpo"]
    assert (config.learning_rate, config.iterations) == (rate, iterations)
    assert config.group == settings["group"]
    assert config.epochs == COMMON["epochs"] and 2 * config.minibatch == config.rollouts == JOB.rollouts
    assert config.optimizer.betas == COMMON["optimizer"]["betas"]
