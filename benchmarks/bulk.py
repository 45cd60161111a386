"""The speed and the memory of `mnist predict` with many pictures, to files and printed, next to Pillow decoding the same files.

Also how long a folder of pictures takes as a data set: read for the first time and from then on, next to MNIST.

    python benchmarks/bulk.py [--scale 1] [--code CHECKOUT] [--million | --data | --profile]

All cores are used, by Pillow too. The time of a run of one picture is subtracted. `--code` also measures the printing of the code
in another folder, `--million` only runs a million 28x28 pictures in 250 archives to their end, `--data` only reads the data set.
`--profile` only prints on what the CPU time is spent, in one process with one thread, and that of `mnist serve`.
"""

import argparse
import asyncio
import inspect
import io
import itertools
import json
import math
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import service
from numpy.typing import NDArray
from PIL import Image

from mnist_cli import cores
from mnist_cli.bulk import work
from mnist_cli.bulk.shards import Archive, Files
from mnist_cli.datasets import mnist_files
from mnist_cli.models import backends
from mnist_cli.models.backends import OnnxModel
from mnist_cli.pictures import binarize, normalize, segment
from mnist_cli.pictures.segment import Candidate
from mnist_cli.recognition import sources
from mnist_cli.recognition.pipeline import BATCH, Options
from mnist_cli.serving import engine, reading

HERE = Path(__file__).parents[1]
PREDICT = [sys.executable, "-P", "-m", "mnist_cli", "predict", "--checkpoint", "pretrained"]
LOAD = """
import sys
from pathlib import Path
from mnist_cli.datasets import data_folder, data_sources
source, folder = sys.argv[1], Path(sys.argv[2])
data_sources.load(source, data_folder.prepare(folder).path if source == "mnist" else folder)
"""
ARCHIVE = 4_000  # pictures
PHOTO = (4_000, 3_000)  # px
PAGE = (2_600, 1_920)  # px, of 200 digits
CONNECTIONS = 32  # of the load of `mnist serve`
# What belongs to each stage of the work; the rest is Python between them, and writing.
STAGES: dict[str, list[tuple[Any, str]]] = {
    "decoding": [(sources, "read")],
    "ink from paper": [(binarize, "candidates"), (segment, "binarizations")],
    "cutting": [(segment, "lines"), (segment, "candidates")],
    "frame": [(normalize, "draw"), (normalize, "already_drawn"), (Candidate, "part")],
    "network": [(OnnxModel, "logits")],
}
HTTP, REST = "HTTP", "the rest"
PROBE_SECONDS = 0.05  # between looks at the memory


def png(image: NDArray[np.uint8], side: int = 28) -> bytes:
    """Return an image as a PNG file, with sharp edges where it is enlarged."""
    file = io.BytesIO()
    Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def photo(image: NDArray[np.uint8], generator: np.random.Generator) -> bytes:
    """Return a JPEG of 12 megapixels with a digit on grainy paper."""
    paper = np.full(PHOTO[::-1], 210.0, np.float32)
    digit = np.asarray(Image.fromarray(image).resize((1_500, 1_500), Image.Resampling.BICUBIC), np.float32)
    paper[700:2_200, 1_200:2_700] -= 0.7 * digit
    paper += generator.normal(0, 4, paper.shape)
    file = io.BytesIO()
    Image.fromarray(paper.clip(0, 255).astype(np.uint8)).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def page(images: NDArray[np.uint8], generator: np.random.Generator) -> bytes:
    """Return a JPEG of 5 megapixels with ten lines of twenty digits."""
    paper = np.full(PAGE[::-1], 235.0, np.float32)
    for number, image in enumerate(images[:200]):
        top, left = 60 + number // 20 * 180 + generator.integers(20), 60 + number % 20 * 125 + generator.integers(15)
        paper[top : top + 90, left : left + 90] -= 0.75 * np.asarray(
            Image.fromarray(image).resize((90, 90)), np.float32
        )
    paper += generator.normal(0, 3, paper.shape)
    file = io.BytesIO()
    Image.fromarray(paper.clip(0, 255).astype(np.uint8)).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def write_folder(folder: Path, suffix: str, pictures: Sequence[bytes], count: int) -> None:
    """Write `count` files, which repeat the pictures."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:07}{suffix}").write_bytes(pictures[number % len(pictures)])


def write_archives(folder: Path, pictures: Sequence[bytes], count: int) -> None:
    """Write `count` pictures to archives, which repeat them."""
    folder.mkdir()
    for start in range(0, count, ARCHIVE):
        with tarfile.open(folder / f"shard-{start // ARCHIVE:05}.tar", "w") as archive:
            for number in range(start, min(start + ARCHIVE, count)):
                entry = tarfile.TarInfo(f"{number:07}.png")
                entry.size = len(pictures[number % len(pictures)])
                archive.addfile(entry, io.BytesIO(pictures[number % len(pictures)]))


def run(code: Path, *arguments: object) -> float:
    """Run `mnist predict` of the code in a folder and return the seconds that it takes."""
    begin = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(code)}
    subprocess.run(
        [*PREDICT, *map(str, arguments)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begin


def decode(files: Sequence[str]) -> None:
    """Decode some files with Pillow, JPEG reduced as far as `mnist predict` has it reduced."""
    for name in files:
        with Image.open(name) as image:
            image.draft(None, (400, 400))
            image.load()


def pillow(folder: Path) -> float:
    """Return the seconds in which Pillow decodes a folder, with a process for each core that has started before."""
    names = sorted(map(str, folder.iterdir()))
    with ProcessPoolExecutor(cores.available(), mp_context=get_context("spawn")) as pool:
        list(pool.map(decode, [names[:1]] * 2 * cores.available()))
        begin = time.perf_counter()
        list(pool.map(decode, (names[start : start + BATCH] for start in range(0, len(names), BATCH))))
        return time.perf_counter() - begin


def peak_memory(*arguments: object) -> float:
    """Return the largest memory that `mnist predict` and its processes have together, in MB, shared pages once (PSS)."""
    started = subprocess.Popen(
        [*PREDICT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0.0
    while started.poll() is None:
        peak = max(peak, sum(map(_memory, _family(started.pid))))
        time.sleep(PROBE_SECONDS)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, PREDICT)
    return peak


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that it started."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):  # each has those that it started
        with suppress(OSError):
            for child in thread.read_text().split():
                yield from _family(int(child))


def _memory(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_024


def print_speed(what: str, root: Path, source: Path, folder: Path, count: int, other: Path | None) -> None:
    """Print a row: pictures a second to files, printed, printed by other code, and as a fraction of Pillow's."""
    one = next(folder.iterdir())

    def rate(code: Path, *arguments: object) -> float:
        start = run(code, one)
        return count / (run(code, *arguments) - start)

    files = rate(HERE, source, "--output", root / f"out-{folder.name}")
    printed = [rate(code, folder, "--json") for code in (HERE, other) if code]
    shown = [f"{files:,.0f}", *(f"{value:,.0f}" for value in printed), *([] if other else ["-"])]
    print(f"| {what} | {' | '.join(shown)} | {files / (count / pillow(folder)):.2f} |", flush=True)


def load(source: str | Path, data_dir: Path) -> float:
    """Return the seconds that a new process takes to load a data set."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", LOAD, str(source), str(data_dir)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(HERE)}, check=True)
    return time.perf_counter() - begin


def print_data_set(root: Path, pictures: Sequence[bytes], count: int) -> None:
    """Print how long ten folders of pictures take as a data set, and MNIST, once both are prepared."""
    (root / "classes").mkdir()
    for digit in range(10):
        write_folder(root / "classes" / str(digit), ".png", pictures[digit::10], count // 10)
    load("mnist", root / "data")
    first, second, mnist = (load(source, root / "data") for source in (root / "classes", root / "classes", "mnist"))
    print(f"{count:,} PNGs in ten folders as --data: {first:.1f} s, then {second:.1f} s; MNIST {mnist:.1f} s")


class Stages:
    """The CPU seconds of each stage of the work, without those of the stages that it calls."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._thread = threading.local()

    @contextmanager
    def measured(self, stage: str) -> Iterator[None]:
        """Count the CPU time of a block for a stage."""
        outer = getattr(self._thread, "stage", REST)
        self._thread.stage = stage
        begin = time.thread_time()
        try:
            yield
        finally:
            taken = time.thread_time() - begin
            self._thread.stage = outer
            self.seconds[stage] += taken
            self.seconds[outer] -= taken

    def measuring(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function, or one that makes a generator, whose CPU time counts for a stage."""

        def steps(*given: Any) -> Iterator[Any]:
            made = work(*given)
            while True:
                with self.measured(stage):
                    item = next(made, None)
                if item is None:
                    return
                yield item

        def whole(*given: Any) -> Any:
            with self.measured(stage):
                return work(*given)

        return steps if inspect.isgeneratorfunction(work) else whole

    def row(self, what: str, count: int) -> str:
        """Return the row of a table: the milliseconds of a picture, and the percentage of each stage."""
        total = sum(self.seconds.values())
        parts = [self.seconds[stage] / total for stage in (*STAGES, HTTP, REST)]
        cells = [f"{100 * part:.0f} %" if part else "" for part in parts]
        return f"| {what} | {1e3 * total / count:,.2f} | {' | '.join(cells)} |"


@contextmanager
def staged() -> Iterator[Stages]:
    """Measure the stages of what this process recognizes while the block runs."""
    stages = Stages()
    with ExitStack() as patches:
        for stage, functions in STAGES.items():
            for owner, name in functions:
                found = owner.__dict__[name]
                if isinstance(found, property):
                    measuring: object = property(stages.measuring(stage, found.fget))
                else:
                    measuring = stages.measuring(stage, found)
                patches.enter_context(patch.object(owner, name, measuring))
        begin = time.process_time()
        yield stages
        stages.seconds[REST] += time.process_time() - begin


def print_profile(root: Path, images: NDArray[np.uint8], scale: float) -> None:
    """Print on what the CPU time of each row is spent, in percent."""
    work.prepare()
    loaded = backends.load(Path("pretrained"))
    generator = np.random.default_rng(0)
    print(f"| | CPU ms a picture | {' | '.join((*STAGES, HTTP, REST))} |")
    print(f"|{' --- |' * (len(STAGES) + 4)}")

    def print_row(what: str, pictures: Sequence[bytes], suffix: str, count: int, many: bool = False) -> None:
        folder = root / what
        if suffix == ".tar":
            write_archives(folder, pictures, count)
            split = [Archive(name, str(folder)) for name in sorted(os.listdir(folder))]
        else:
            write_folder(folder, suffix, pictures, count)
            split = [Files.of(sorted(os.listdir(folder)), str(folder))]
        job = work.job_of(loaded, Options(many=many))
        work.make_part(job, Files.of(["0000000.png"], str(root)))  # to load the model
        with staged() as stages:
            for shard in split:
                work.make_part(job, shard)
        print(stages.row(what, count), flush=True)

    small, drawings = [png(image) for image in images], [png(image, 280) for image in images[:1_000]]
    (root / "0000000.png").write_bytes(small[0])
    print_row("28x28 PNGs, tar to Parquet", small, ".tar", int(8_000 * scale))
    print_row("280x280 drawings", drawings, ".png", int(1_000 * scale))
    print_row("12-megapixel JPEG photos", [photo(image, generator) for image in images[:16]], ".jpg", int(64 * scale))
    pages = [page(images[start:], generator) for start in range(4)]
    print_row("`--many`, pages of 200 digits", pages, ".jpg", int(8 * scale), many=True)
    print_service_row(root, int(5_000 * scale))


def print_service_row(root: Path, count: int) -> None:
    """Print the row of `mnist serve`: HTTP is the process of the server; those that read divide their time as one alone does."""
    drawings = service.draw(root / "data")
    requests = [service.request(drawing) for drawing in drawings]
    with service.serving(root / "log") as (server, port):
        asyncio.run(service.run(port, itertools.cycle(requests), CONNECTIONS, 2))  # to warm up
        before, all_before = service.cpu_seconds([server]), service.cpu_seconds(service.processes(server))
        asyncio.run(service.run(port, itertools.islice(itertools.cycle(requests), count), CONNECTIONS, math.inf))
        http = service.cpu_seconds([server]) - before
        workers = service.cpu_seconds(service.processes(server)) - all_before - http
    reading.prepare(Path("pretrained"))
    some = drawings[: min(count, len(drawings))]
    with staged() as stages:
        for start in range(0, len(some), engine.BATCH):
            reading.recognize(some[start : start + engine.BATCH], False)
    factor = workers / sum(stages.seconds.values())
    stages.seconds = Counter({stage: factor * seconds for stage, seconds in stages.seconds.items()})
    stages.seconds[HTTP] = http
    print(stages.row("`mnist serve`, 280x280 PNGs", count))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=1, help="times as many pictures")
    parser.add_argument("--code", type=Path, help="another checkout of this program")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--data", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    images = mnist_files.load(None, "val")[0][:, 0]
    generator = np.random.default_rng(0)
    print(f"{platform.machine()}, {cores.available()} cores\n")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        small = [png(image) for image in images]
        if arguments.profile:
            print_profile(root, images, arguments.scale)
            return
        if arguments.data:
            print_data_set(root, small, int(60_000 * arguments.scale))
            return
        if arguments.million:
            write_archives(root / "million", small, 1_000_000)
            seconds = run(HERE, root / "million" / "*.tar", "--output", root / "out")
            summary = json.loads((root / "out" / "_summary.json").read_text())
            print(
                f"{summary['pictures']:,} pictures in {seconds:,.0f} s, {summary['pictures'] / seconds:,.0f} a second"
            )
            return
        print(
            "| pictures a second | to files | printed | printed by --code | of Pillow |\n| --- | --- | --- | --- | --- |"
        )
        count = int(20_000 * arguments.scale)
        write_archives(root / "archives", small, count)
        write_folder(root / "small", ".png", small, count)
        print_speed("28x28 PNGs from tar", root, root / "archives" / "*.tar", root / "small", count, arguments.code)
        count = int(2_000 * arguments.scale)
        write_folder(root / "drawings", ".png", [png(image, 280) for image in images[:1_000]], count)
        print_speed("280x280 drawings", root, root / "drawings", root / "drawings", count, arguments.code)
        count = int(256 * arguments.scale)
        write_folder(root / "photos", ".jpg", [photo(image, generator) for image in images[:16]], count)
        print_speed("12-megapixel photos", root, root / "photos", root / "photos", count, arguments.code)
        count = int(32 * arguments.scale)
        write_folder(root / "pages", ".jpg", [page(images[start:], generator) for start in range(4)], count)
        pages = run(HERE, root / "pages", "--many", "--output", root / "pages-out") - run(
            HERE, root / "small/0000000.png"
        )
        print(f"\n--many: {cores.available() * pages / count:.2f} s of a core for a page of 200 digits")
        few, many = int(1_000 * arguments.scale), int(20_000 * arguments.scale)
        write_folder(root / "few", ".png", small, few)
        memory = [peak_memory(root / name, "--output", root / f"memory-{name}") for name in ("few", "small")]
        print(
            f"memory of all processes: {memory[0]:,.0f} MB for {few:,} files, {memory[1] - memory[0]:+,.0f} MB for {many:,}"
        )
        print_data_set(root, small, int(60_000 * arguments.scale))


if __name__ == "__main__":
    main()
