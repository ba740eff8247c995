"""Memory does not grow with the corpus: four times the text, nearly the same peak."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

GENERATOR = Path(__file__).parents[3] / "benchmarks" / "large_corpus.py"
CURATE = """
import json, resource, sys
from pathlib import Path
from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import partitions
folder = Path(sys.argv[1])
config = CurateConfig(sources=[{"kind": "files", "path": str(folder)}], partition_mb=8)
out = folder.with_name(f"{folder.name}-out")
out.mkdir()
figures = curate(partitions(config, folder), config, out, out / "keep", folder)
scale = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
print(json.dumps({"peak": peak, "documents": figures["documents"], "dropped": figures["dropped"]}))
"""


def curated(folder: Path, megabytes: int) -> dict:
    """Peak memory in bytes, and what was kept, of a made-up corpus of this size."""
    target = folder / f"corpus-{megabytes}"
    made = [sys.executable, str(GENERATOR), str(folder / "seed"), str(target), "--megabytes", str(megabytes)]
    subprocess.run(made, check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", CURATE, str(target)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_four_times_the_text_takes_nearly_the_same_memory(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    for number in range(400):
        words = [f"{chr(97 + at * number % 26)}ord{at * (number + 3) % 997}" for at in range(120)]
        (tmp_path / "seed" / f"{number}.txt").write_text(" ".join([*words, "and the end of it all"]))
    small, large = curated(tmp_path, 30), curated(tmp_path, 120)
    assert large["documents"] > 3.5 * small["documents"]
    assert large["peak"] < small["peak"] + 80e6
    found = large["documents"] + sum(large["dropped"].values())
    duplicates = large["dropped"]["exact-duplicate"] + large["dropped"]["near-duplicate"]
    assert duplicates == pytest.approx(0.15 * found, rel=0.1)
