"""Other programs get the numbers that the files have, and nobody is contacted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.errors import GroundupError
from groundup.training.configuration import TelemetryConfig
from groundup.training.telemetry.sinks import open_sinks

ASKED = {"tensorboard": True, "wandb": {"project": "a"}, "trackio": {"project": "a"}}


@pytest.mark.parametrize(("name", "value"), ASKED.items())
def test_a_missing_package_is_one_line(
    name: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    config = TelemetryConfig.model_validate({name: value})
    with pytest.raises(GroundupError) as error:
        open_sinks(config, tmp_path, title="pretrain", resume_at=0, settings={})
    expected = f"telemetry.{name}: {name} is not installed; pip install 'groundup[{name}]', or leave it out"
    assert str(error.value) == expected


def test_tensorboard_has_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = TelemetryConfig(tensorboard=True)
    for resume_at, steps in ((0, (1, 2, 3)), (2, (3, 4))):  # the second resumed after step 2
        (sink,) = open_sinks(config, tmp_path, title="pretrain", resume_at=resume_at, settings={})
        for step in steps:
            sink.write(step, {"loss": 10.0 * resume_at + step, "layers/0/gradient_norm": 0.5})
        sink.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["layers/0/gradient_norm", "loss"]
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 23.0), (4, 24.0)]


LONELY = """
import json, os, socket, sys
from pathlib import Path
asked = []
def refuse(self, address, *rest):
    asked.append(str(address)); raise OSError("no network here")
real = socket.socket.connect
def connect(self, address):
    if self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1", "localhost"):
        return real(self, address)
    refuse(self, address)
socket.socket.connect = connect
socket.getaddrinfo, looked_up = (lambda host, *rest, **more: refuse(None, host)
    if host not in ("localhost", "127.0.0.1", "::1", None) else looked_up(host, *rest, **more)), socket.getaddrinfo
from groundup.training.configuration import TelemetryConfig
from groundup.training.telemetry.sinks import open_sinks
config = TelemetryConfig.model_validate(json.loads(sys.argv[1]))
for resume_at in (0, 2):
    sinks = open_sinks(config, Path(sys.argv[2]), title="pretrain", resume_at=resume_at, settings={"steps": 4})
    for step in (resume_at + 1, resume_at + 2):
        for sink in sinks:
            sink.write(step, {"loss": 5.0 - step, "mfu": 0.5})
    for sink in sinks:
        sink.close()
print("asked", json.dumps(asked))
"""


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_nobody_is_contacted(name: str, tmp_path: Path) -> None:
    """In a process whose connections fail and are noted; with a Hugging Face login that could leak."""
    pytest.importorskip(name)
    surroundings = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_TOKEN": "hf_made_up", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LONELY, json.dumps({name: ASKED[name]}), str(tmp_path / "keep")],
        capture_output=True,
        text=True,
        timeout=120,
        env=surroundings | {"TRACKIO_DIR": str(tmp_path / "trackio")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (asked,) = [line.removeprefix("asked ") for line in done.stdout.splitlines() if line.startswith("asked ")]
    assert json.loads(asked) == []
    if name == "wandb":
        assert len(list((tmp_path / "keep" / "wandb").rglob("*.wandb"))) == 2
    else:
        import sqlite3

        with sqlite3.connect(tmp_path / "trackio" / "a.db") as database:
            rows = database.execute("select step, metrics from metrics order by step").fetchall()
        assert [(step, json.loads(metrics)["loss"]) for step, metrics in rows] == [(n, 5.0 - n) for n in (1, 2, 3, 4)]
