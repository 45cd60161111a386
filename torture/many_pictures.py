"""SIGKILL at random moments of `mnist predict --output`, of the program or of one of its processes: each picture has its row, once."""

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from PIL import Image

from mnist_cli.datasets import mnist_files
from mnist_cli.models import pretrained
from torture import Outcomes

SHARDS = 25
SOURCE = str(Path(pretrained.__file__).parents[2])  # from where every process runs the program, whatever is installed
SECONDS = 600  # for one command, also on a machine that is busy with other work
FEW = 5  # trials, for which archives are small


def kills(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill a run or one of its processes, let the same command go on, and compare with a run that nobody disturbed."""
    generator = random.Random(seed)
    _write_archives(folder, 40 if count <= FEW else 4_000)
    begin = time.perf_counter()
    if fault := _run(folder, "undisturbed"):
        yield f"undisturbed: {fault}"
        return
    whole = time.perf_counter() - begin
    expected = _written(folder / "undisturbed")
    for number in range(count):
        output = f"out-{number}"
        started = _start(folder, output)
        time.sleep(generator.uniform(0, whole))
        family = [started.pid, *_children(started.pid)]
        victim = family[0] if generator.random() < 0.5 else generator.choice(family)
        with suppress(ProcessLookupError):  # it has ended
            os.kill(victim, signal.SIGKILL)
        fault = _end(started, _said(folder, output))
        if fault and victim == started.pid:
            fault = _run(folder, output)
        if fault is None and _written(folder / output) != expected:
            fault = "the parts differ"
        if fault is None and (left := [path.name for path in (folder / output).glob(".*")]):
            fault = f"it left {left}"
        what = "the program" if victim == started.pid else "one of its processes"
        yield fault and f"kill {number} of seed {seed}, of {what}: {fault}"


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


def _start(folder: Path, output: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mnist_cli", "predict", f"shard-{{00..{SHARDS - 1:02}}}.tar", "--format", "csv"]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "2"}
    with _said(folder, output).open("wb") as said:
        return subprocess.Popen(
            [*command, "--output", output], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=said
        )


def _run(folder: Path, output: str) -> str | None:
    return _end(_start(folder, output), _said(folder, output))


def _said(folder: Path, output: str) -> Path:
    return folder / f".said-{output}"


def _end(started: subprocess.Popen[bytes], said: Path) -> str | None:
    """Wait for the end and return what was wrong with it."""
    try:
        status = started.wait(SECONDS)
    except subprocess.TimeoutExpired:
        started.kill()
        started.wait()
        return f"it did not end in {SECONDS} seconds"
    return f"exit status {status}: {said.read_text(errors='replace')[-600:]!r}" if status else None


def _children(pid: int) -> Iterator[int]:
    """Yield all processes that a process started, and those that they started."""
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, thread.read_text().split()):
                yield child
                yield from _children(child)


def _written(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in output.glob("part-*")}
