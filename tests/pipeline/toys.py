"""A small blueprint and stages for it, run by the real runner in real processes (so: importable by name)."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

from groundup.artifacts import Artifact, Figures, Work
from groundup.artifacts.outside import Digests
from groundup.blueprint.configuration import Blueprint
from groundup.blueprint.load import LoadedBlueprint
from groundup.errors import GroundupError
from groundup.pipeline.graph import Stage
from groundup.section import Section


class ReadConfig(Section):
    """Where the numbers come from."""

    incidental: ClassVar[frozenset[str]] = frozenset({"path"})
    path: Path
    factor: int = 1


class SumConfig(Section):
    """How to add; `fault` breaks the stage on purpose."""

    incidental: ClassVar[frozenset[str]] = frozenset({"pause", "fault"})
    start: int = 0
    pause: float = 0.0
    fault: str = ""


class LastConfig(Section):
    """Nothing to set."""


class Toy(Section):
    """read -> sum -> last."""

    seed: int = 1
    read: ReadConfig
    sum: SumConfig = SumConfig()
    last: LastConfig = LastConfig()


def toy_loaded(blueprint: Section, base: Path, text: str = "toy") -> LoadedBlueprint:
    """What the blueprint room would have loaded from `base`/toy.yaml."""
    return LoadedBlueprint(cast(Blueprint, blueprint), base / "toy.yaml", text)


def stages(last_version: int = 1) -> tuple[Stage, ...]:
    return (
        Stage("read", 1, (), "toys:read", lambda b: b.read, sources="toys:read_sources"),
        Stage("sum", 1, ("read",), "toys:total", lambda b: b.sum),
        Stage("last", last_version, ("read", "sum"), "toys:last", lambda b: b.last, delivers="model"),
    )


def read_sources(config: ReadConfig, base: Path, cache: Path) -> dict[str, str]:
    digests = Digests(cache)
    found = {str(config.path): digests.of_file(base / config.path)}
    digests.save()
    return found


def read(config: ReadConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    numbers = [config.factor * int(line) for line in (work.base / config.path).read_text().split()]
    (work.out / "numbers.json").write_text(json.dumps(numbers))
    (work.records / "time.txt").write_text(str(time.time()))
    return {"numbers": len(numbers)}


def total(config: SumConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Adds one number at a time and saves its state after each, as training does with checkpoints."""
    numbers = json.loads(inputs["read"].file("numbers.json").read_text())
    state = work.keep / "state.json"
    done, partial = json.loads(state.read_text()) if state.exists() else (0, config.start)
    (work.records / "resumed_at.txt").write_text(str(done))
    with work.progress.task("sum", len(numbers), "numbers", done=done) as task:
        for index in range(done, len(numbers)):
            partial += numbers[index]
            aside = work.keep / "state.new"
            aside.write_text(json.dumps([index + 1, partial]))
            aside.replace(state)
            (work.out / "half-done").write_text("x")
            time.sleep(config.pause)
            task.advance()
            if index == len(numbers) // 2:
                _break(config.fault, work)
    (work.out / "half-done").unlink(missing_ok=True)
    (work.out / "sum.json").write_text(json.dumps(partial))
    return {"sum": partial, "summary": f"the sum is {partial}"}


def last(config: LastConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    (work.out / "weights").write_text(inputs["sum"].file("sum.json").read_text())
    return {"entropy": f"{os.environ['PYTHONHASHSEED']}"}


def unsteady_sources(config: ReadConfig, base: Path, cache: Path) -> dict[str, str]:
    """A source that is never twice the same."""
    return {str(config.path): str(time.time_ns())}


def teller(config: LastConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    assert work.run is not None
    (work.out / "seen.txt").write_text((work.run / "blueprint.source.yaml").read_text())
    return {"run": work.run.name}


def waiting(config: ReadConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """How OpenMP's threads are to wait in a stage's process."""
    return {name: os.environ.get(name) for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}


def _break(fault: str, work: Work) -> None:
    if fault == "user":
        raise GroundupError("the numbers are odd", where="numbers.txt:3", do="make them even")
    if fault == "bug":
        raise ZeroDivisionError("nobody foresaw this")
    if fault == "memory":
        raise MemoryError
    if fault == "oom":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "disk":
        with (work.out / "big").open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
    if fault == "helper":
        helper = subprocess.Popen([sys.executable, "-c", "import time; x = b'1' * 200_000_000; time.sleep(3600)"])
        (work.keep / "helper").write_text(str(helper.pid))
        time.sleep(float(os.environ.get("TOY_HELPER_SECONDS", "3600")))
        helper.kill()
        helper.wait()
        (work.keep / "helper").unlink()


def run_toy(base: Path, run: Path, **sections: Any) -> None:
    """What a script does; run by `python -c "import toys; toys.script()" BASE RUN SECTIONS-AS-JSON`."""
    from groundup.cli.stopping import stopping_in_one_line
    from groundup.pipeline.folder import RunFolder
    from groundup.pipeline.runner import run as execute
    from groundup.progress import for_terminal

    blueprint = Toy.model_validate({"read": {"path": "numbers.txt"}} | sections)
    try:
        with stopping_in_one_line():
            execute(toy_loaded(blueprint, base), RunFolder(run), stages(), progress=for_terminal())
    except GroundupError as error:
        sys.exit(str(error))


def script() -> None:
    run_toy(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
