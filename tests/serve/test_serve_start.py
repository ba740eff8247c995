"""Starting: the extra may be missing, the address taken or too open; each is one clear line."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from groundup.errors import GroundupError
from groundup.serve import serve
from groundup.serve.server import check_access


def test_missing_extra_names_the_command():
    """In a fresh interpreter, as imports are remembered; None in sys.modules makes an import fail as if absent."""
    script = (
        "import sys; sys.modules['{0}'] = None\n"
        "from groundup.errors import GroundupError\n"
        "try:\n    import groundup.serve\nexcept GroundupError as error:\n    print(error)"
    )
    for part in ("fastapi", "uvicorn"):
        done = subprocess.run([sys.executable, "-c", script.format(part)], capture_output=True, text=True, check=True)
        assert done.stdout == f'serving needs {part}, which is not installed; run: pip install "groundup[serve]"\n'


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_an_open_address_needs_a_key(host):
    with pytest.raises(GroundupError, match="give a key, or serve on 127"):
        serve({}, host=host)
    check_access(host, "a-key")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_none(host):
    check_access(host, None)


@pytest.mark.parametrize("key", ["", " ", "a b", "sésame", "a\n"])
def test_keys_that_no_header_carries(key):
    with pytest.raises(GroundupError, match="a key is made of ASCII"):
        check_access("127.0.0.1", key)


def test_taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GroundupError, match=f"can't listen on 127.0.0.1 port {port}.*choose another port"):
            serve({}, port=port)


def test_no_such_port():
    with pytest.raises(GroundupError, match="port 70000"):
        serve({}, port=70_000)


def test_serves_until_interrupted():
    """In a process of its own, with a tiny model."""
    script = (
        "import sys; sys.path.append('..'); import fake_model\n"
        "from groundup.serve import serve; serve({'tiny': fake_model.loaded}, port=0)"
    )
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=pipe, stderr=pipe, text=True) as process:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        assert line.startswith("tiny: chat at ")
        assert httpx.get(f"{address}/health").json() == {"status": "ok"}
        assert httpx.get(f"{address}/health", headers={"Host": "evil.example"}).status_code == 403
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0
