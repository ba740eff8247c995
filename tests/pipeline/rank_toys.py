"""A stage that two processes make together, as a training stage would, by torch's collectives alone."""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from toys import toy_loaded

from groundup.artifacts import Artifact, Figures, Work
from groundup.errors import GroundupError
from groundup.parallel.configuration import ParallelConfig
from groundup.pipeline.graph import Stage
from groundup.section import Section


class TogetherConfig(Section):
    """`faults` is `rank:step:kind` for each time that something goes wrong; each happens once."""

    incidental: ClassVar[frozenset[str]] = frozenset({"parallel", "faults", "pause"})
    parallel: ParallelConfig = ParallelConfig(dp_shard=2)
    steps: int = 8
    pause: float = 0.0
    faults: tuple[str, ...] = ()


class AloneConfig(Section):
    """A stage of one process, which may take long."""

    incidental: ClassVar[frozenset[str]] = frozenset({"pause"})
    pause: float = 0.0


class RankToy(Section):
    """together -> alone."""

    seed: int = 1
    together: TogetherConfig = TogetherConfig()
    alone: AloneConfig = AloneConfig()


def stages() -> tuple[Stage, ...]:
    return (
        Stage("together", 1, (), "rank_toys:together", lambda b: b.together),
        Stage("alone", 1, ("together",), "rank_toys:alone", lambda b: b.alone),
    )


def together(config: TogetherConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Adds what the ranks give in each step; rank 0 saves the state, in the form of a checkpoint."""
    rank, size = dist.get_rank(), dist.get_world_size()
    saved = sorted(work.keep.glob("checkpoint-*"))
    done, total = json.loads((saved[-1] / "state").read_text()) if saved else (0, 0)
    print(f"begins at {done}", file=sys.stderr, flush=True)
    with work.progress.task("together", config.steps, "steps", done=done) as task:
        for step in range(done, config.steps):
            time.sleep(config.pause)
            _go_wrong(config, rank, step, work.keep)
            given = torch.tensor(float((rank + 1) * (step + 1)))
            dist.all_reduce(given)
            total += int(given)
            if rank == 0:
                folder = work.keep / f"checkpoint-{step + 1:03}"
                folder.mkdir()
                (folder / ".state").write_text(json.dumps([step + 1, total]))
                (folder / ".state").rename(folder / "state")
            dist.barrier()
            task.advance()
    (work.out / "total").write_text(str(total))
    (work.out / "rank").write_text(str(rank))
    work.progress.say(f"said by rank {rank} of {size}")
    return {"total": total, "threads": torch.get_num_threads(), "cache": os.environ["TORCHINDUCTOR_CACHE_DIR"][-6:]}


def _go_wrong(config: TogetherConfig, rank: int, step: int, keep: Path) -> None:
    for fault in config.faults:
        who, when, kind = fault.split(":")
        mark = keep / f"done-{fault}"
        if (int(who), int(when)) != (rank, step) or mark.exists():
            continue
        if not kind.startswith("always"):
            mark.touch()
        match kind.removeprefix("always-"):
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "user":
                raise GroundupError("the numbers are odd", where="numbers.txt:3", do="make them even")
            case "bug":
                raise ZeroDivisionError("nobody foresaw this")
            case "sleep":
                time.sleep(3600)


def alone(config: AloneConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    time.sleep(config.pause)
    (work.out / "copy").write_text(inputs["together"].file("total").read_text())
    return {"job": os.environ.get("WORLD_SIZE", "none")}


def run_toy(base: Path, run: Path, sections: Mapping[str, Any]) -> None:
    """What `groundup run` does, with these stages."""
    from groundup.cli.stopping import stopping_in_one_line
    from groundup.pipeline import coordination
    from groundup.pipeline import job as jobs
    from groundup.pipeline.folder import RunFolder
    from groundup.pipeline.graph import processes_of
    from groundup.pipeline.runner import run as execute
    from groundup.progress import for_terminal

    blueprint = RankToy.model_validate(sections)
    try:
        job = jobs.find()
        if job is not None and job.rank > 0:
            sys.exit(coordination.follow(job))
        with stopping_in_one_line(), coordination.leading(job) as make:
            coordination.check_sizes(job, processes_of(stages(), blueprint))
            execute(toy_loaded(blueprint, base), RunFolder(run), stages(), progress=for_terminal(), make=make)
    except GroundupError as error:
        sys.exit(str(error))


def script() -> None:
    """`python -c "import rank_toys; rank_toys.script()" BASE RUN SECTIONS-AS-JSON`."""
    run_toy(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
