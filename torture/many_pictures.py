"""SIGKILL at random moments of `mnist predict --output`: each picture has its row, once.

What is killed is the program, one of its processes, or the worker or the scheduler of a Dask cluster.
"""

import io
import random
import tarfile
import time
from pathlib import Path

from PIL import Image

from mnist_cli.datasets import mnist_files
from torture import Outcomes
from torture.families import Cluster, Family, cluster, kill, start

SHARDS = 25
FEW = 5  # trials, for which archives are small


def kills(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill a run or one of its processes, let the same command go on, and compare with a run that nobody disturbed."""
    generator = random.Random(seed)
    _write_archives(folder, 40 if count <= FEW else 4_000)
    begin = time.perf_counter()
    if fault := _start(folder, "undisturbed").end():
        yield f"undisturbed: {fault}"
        return
    whole = time.perf_counter() - begin
    for number in range(count):
        output = f"out-{number}"
        started = _start(folder, output)
        time.sleep(generator.uniform(0, whole))
        is_program = generator.random() < 0.5
        kill(started.process.pid if is_program else generator.choice([started.process.pid, *started.workers()]))
        fault = started.end()
        if fault and started.process.returncode < 0:  # it was the program
            fault = _start(folder, output).end()
        what = "the program" if is_program else "one of its processes"
        fault = fault or _difference(folder, output)
        yield fault and f"kill {number} of seed {seed}, of {what}: {fault}"


def kills_on_cluster(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill a run on a cluster, a worker or the scheduler, let the same command go on, and compare as `kills` does."""
    generator = random.Random(seed)
    _write_archives(folder, 40 if count <= FEW else 4_000)
    if fault := _start(folder, "undisturbed").end():
        yield f"undisturbed: {fault}"
        return
    with cluster(folder) as first:
        begin = time.perf_counter()
        fault = _start(folder, "on-cluster", first).end()
        whole = time.perf_counter() - begin
        yield fault or _difference(folder, "on-cluster")
    for number in range(count):
        what = ("a worker", "the scheduler", "the program")[number % 3]
        fault = _kill_on_cluster(folder, f"out-{number}", what, generator, whole)
        yield fault and f"kill {number} of seed {seed}, of {what}: {fault}"


def _kill_on_cluster(folder: Path, output: str, what: str, generator: random.Random, whole: float) -> str | None:
    with cluster(folder) as there:
        started = _start(folder, output, there)
        time.sleep(generator.uniform(0, whole))
        victims = {"the scheduler": [there.scheduler.process.pid], "the program": [started.process.pid]}
        kill(generator.choice(victims.get(what) or there.worker_pids()))
        fault = started.end()
        if fault and what == "the program":
            fault = _start(folder, output, there).end()
        elif fault and what == "the scheduler" and "Traceback" not in fault:
            with cluster(folder) as another:
                fault = _start(folder, output, another).end()
    return fault or _difference(folder, output)


def _difference(folder: Path, output: str) -> str | None:
    """Return how the output differs from that of a run which nobody disturbed, or None."""
    if _written(folder / output) != _written(folder / "undisturbed"):
        return "the parts differ"
    left = [path.name for path in (folder / output).glob(".*")]
    return f"it left {left}" if left else None


def _write_archives(folder: Path, size: int) -> None:
    images = mnist_files.load(None, "val")[0][:, 0]
    for shard in range(SHARDS):
        with tarfile.open(folder / f"shard-{shard:02}.tar", "w") as archive:
            for number in range(size):
                content = io.BytesIO()
                Image.fromarray(images[(shard * size + number) % len(images)]).save(content, "PNG")
                entry = tarfile.TarInfo(f"{number}.png")
                entry.size = content.tell()
                content.seek(0)
                archive.addfile(entry, content)


def _start(folder: Path, output: str, there: Cluster | None = None) -> Family:
    sources = f"shard-{{00..{SHARDS - 1:02}}}.tar"
    where = ("--cluster", there.address) if there else ()
    given = ("predict", sources, "--format", "csv", "--output", output, *where)
    return start(folder, "mnist_cli", *given, threads=2)


def _written(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("part-*")}
