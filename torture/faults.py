"""Signals, failing disks, concurrent programs, and unusual environments."""

import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import mnist_files
from mnist_cli.models import checkpoints, pretrained
from mnist_cli.training import runs
from torture import Outcomes, Skipped, spread
from torture.pictures import drawn
from torture.program import TINY, mnist, start, unpacked

SOURCE = str(Path(runs.__file__).parent.parent)  # from where every process runs the program, whatever is installed


def signals(count: int, seed: int, folder: Path) -> Outcomes:
    """Interrupt and terminate runs: they are saved, print how to resume, and the exit status is 130 or 143."""
    generator = random.Random(seed)
    options = "train", *TINY, "--epochs", "500", "--data-dir", unpacked(folder)
    for trial in range(count):
        number = (signal.SIGINT, signal.SIGTERM)[trial % 2]
        name = f"run-{trial}"
        started = mnist(folder, *options, "--name", name)
        last = folder / "checkpoints" / name / "last.pt"
        while not last.exists() and started.process.is_alive():
            time.sleep(0.05)
        time.sleep(generator.uniform(0, 0.5))
        started.signal(number)
        fault = started.fault(128 + number)
        if fault is None and "Resume with" not in started.said.read_text():
            fault = "it does not say how to go on"
        checkpoints.load(last)
        yield fault and f"{number.name} {trial} of seed {seed}: {fault}"


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """Mount a small disk in memory; raises Skipped where that is not allowed."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Skipped(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def disks(count: int, seed: int, folder: Path) -> Outcomes:
    """Work on disks that are full, read-only, removed, or have a file where a folder should be: one sentence, no temporary files."""
    data_dir = unpacked(folder)
    drawn("RGB").save(folder / "seven.png")
    train = "train", *TINY, "--epochs", "2", "--name", "one", "--data-dir", data_dir
    commands: dict[str, tuple[object, ...]] = {
        "train": train,
        "download": ("download", "--offline", "--data-dir", "data"),
        "explain": ("predict", folder / "seven.png", "--explain", "why"),
        "report": ("evaluate", "pretrained", "--data-dir", data_dir, "--report", "report"),
        "export": ("export", "pretrained", "--data-dir", data_dir, "--output", "model.onnx"),
        "samples": ("samples", "samples"),
    }
    trials: list[Callable[[], str | None]] = []

    def full(name: str, size: str) -> str | None:
        with mounted(folder / "disk", f"size={size}") as disk:
            return _fails_cleanly(disk, commands[name], folder, 1)

    def read_only(name: str) -> str | None:
        with mounted(folder / "disk", "ro,size=1m") as disk:
            return _fails_cleanly(disk, commands[name], folder, 1)

    def full_after_the_first_epochs() -> str | None:
        with mounted(folder / "disk", "size=2m") as disk:
            said = folder / ".said"
            if fault := mnist(disk, *train, said=said).fault(0):
                return fault
            before = (disk / "checkpoints/one/last.pt").read_bytes()
            with suppress(OSError), open(disk / "fill", "wb") as fill:
                while True:
                    fill.write(bytes(4096))
                    fill.flush()
            resumed = "train", "--resume", "checkpoints/one/last.pt", "--epochs", "9", "--data-dir", data_dir
            fault = _fails_cleanly(disk, resumed, folder, 1)
            kept = (disk / "checkpoints/one/last.pt").read_bytes() == before
            return fault or (None if kept else "the checkpoint from before is gone")

    def in_the_way(name: str, place: str) -> str | None:
        inside = folder / f"{name} with a file for {place}"
        inside.mkdir()
        (inside / place).write_text("in the way")
        fault = _fails_cleanly(inside, commands[name], folder, 1)
        return fault or (None if (inside / place).read_text() == "in the way" else "the file is another")

    def vanishing() -> str | None:
        inside = folder / "vanishing"
        inside.mkdir()
        started = mnist(
            inside, "train", *TINY, "--epochs", "300", "--name", "one", "--data-dir", data_dir, said=folder / ".said"
        )
        while not (inside / "runs/one/metrics.csv").exists() and started.process.is_alive():
            time.sleep(0.05)
        for path in sorted(inside.rglob("*"), reverse=True):
            try:
                path.rmdir() if path.is_dir() else path.unlink()
            except OSError:
                continue
        time.sleep(1)
        started.signal(signal.SIGTERM)
        return started.fault(0, 1, 143)

    def homeless() -> str | None:
        def work() -> None:
            for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME"):
                os.environ.pop(name, None)
            os.environ["HOME"] = "/nowhere/at/all"
            code = "from mnist_cli.cli import app; app()"
            subprocess.run([sys.executable, "-c", code, *map(str, commands["report"])], check=True)

        return start(work, folder).fault(0)

    fitting = {("train", "500k"), *((name, size) for name in ("explain", "samples") for size in ("200k", "500k"))}
    for name in commands:
        for size in ("4k", "200k", "12m" if name == "download" else "500k"):
            if (name, size) not in fitting:
                trials.append(lambda name=name, size=size: full(name, size))  # type: ignore[misc]
        trials.append(lambda name=name: read_only(name))  # type: ignore[misc]
    trials += [full_after_the_first_epochs, vanishing, homeless]
    for name, place in (
        ("train", "checkpoints"),
        ("train", "runs"),
        ("download", "data"),
        ("explain", "why"),
        ("report", "report"),
    ):
        trials.append(lambda name=name, place=place: in_the_way(name, place))  # type: ignore[misc]
    for number, trial in spread(trials, count):
        fault = trial()
        yield fault and f"trial {number}: {fault}"


def _fails_cleanly(place: Path, command: tuple[object, ...], folder: Path, status: int) -> str | None:
    """Run a command where it has to fail: it prints one line and leaves no temporary file."""
    started = mnist(place, *command, said=folder / ".said")
    if fault := started.fault(status):
        return fault
    errors = [line for line in started.said.read_text().splitlines() if line.startswith("Error: ")]
    litter = [path.name for path in place.rglob(".*") if path.name != ".said"]
    if len(errors) != 1:
        return f"{len(errors)} errors were printed: {started.said.read_text()[-500:]!r}"
    return f"it left {litter}" if litter else None


def rivals(count: int, seed: int, folder: Path) -> Outcomes:
    """Two downloads, two runs with names and two without, and a prediction, at once in one folder."""
    drawn("L", (28, 28)).save(folder / "seven.png")
    for trial in range(count):
        place = folder / f"trial-{trial}"
        place.mkdir()
        train = "train", *TINY, "--epochs", "2"
        commands = [
            ("download", "--offline"),
            ("download", "--offline", "--force"),
            train,
            train,
            (*train, "--name", "one"),
            (*train, "--name", "one"),
            ("predict", folder / "seven.png"),
        ]
        started = [mnist(place, *command, said=place / f".said-{number}") for number, command in enumerate(commands)]
        faults = [one.fault(0, 2) if 4 <= number <= 5 else one.fault(0) for number, one in enumerate(started)]
        named = sorted(one.process.exitcode or 0 for one in started[4:6])
        faults.append(None if named == [0, 2] else f"of two runs of one name the statuses are {named}")
        for path in place.glob("checkpoints/*/last.pt"):
            epochs = len(checkpoints.load(path).metrics)
            faults.append(None if epochs == 2 else f"{path} has {epochs} epochs")
        faults.append(str(torn) if (torn := mnist_files.find_faults(place / "data")) else None)
        kept = len(list(place.glob("checkpoints/*/last.pt")))
        faults.append(None if kept == 3 else f"there are {kept} checkpoints, and not 3")
        yield next((f"trial {trial}: {fault}" for fault in faults if fault), None)


NAMES = [
    "with spaces.png", "[bold red]brackets[/].png", "new\nline.png", "🎉.png", "back\\slash.png", "-dash.png", "'quote\".png",
    "\x1b[31mred.png", "\u202egnp.exe.png", "é́.png", "$(touch x).png", "%s%n.png", os.fsdecode(b"\xff\xfe.png"), "x" * 250 + ".png",
]  # fmt: skip


def surroundings(count: int, seed: int, folder: Path) -> Outcomes:
    """Odd names, clocks, languages and terminals."""
    data_dir = unpacked(folder)
    picture = folder / "seven.png"
    drawn("RGB").save(picture)

    def program(*arguments: object, shell: str = "", status: tuple[int, ...] = (0,), **environment: str) -> str | None:
        command = [sys.executable, "-m", "mnist_cli", *map(str, arguments)]
        values = {**os.environ, **environment, "PYTHONPATH": SOURCE}
        if shell:
            done = subprocess.run(
                ["bash", "-c", f'"$@" {shell}', "bash", *command],
                capture_output=True,
                cwd=folder,
                env=values,
                check=False,
            )
        else:
            done = subprocess.run(command, capture_output=True, cwd=folder, env=values, check=False)
        text = (done.stdout + done.stderr).decode(errors="replace")
        is_right = done.returncode in status and "Traceback" not in text and "Exception ignored" not in text
        return None if is_right else f"{arguments} {shell} {environment}: status {done.returncode}, {text[-500:]!r}"

    def named(name: str) -> str | None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture.read_bytes())
        for options in ((), ("--json",), ("--csv",), ("--explain", folder / "why"), ("--many",)):
            if fault := mnist(folder, "predict", *options, "--", path).fault(0):
                return f"{options}: {fault}"
        return on_terminal(20, "predict", "--", path)

    def in_folder(name: str) -> str | None:
        place = folder / name.removesuffix(".png")[:100]
        place.mkdir(parents=True, exist_ok=True)
        train = mnist(place, "train", *TINY, "--epochs", "1", "--data-dir", place / "data", said=folder / ".said")
        return train.fault(0) or mnist(
            folder, "evaluate", next(place.glob("checkpoints/*/last.pt")), "--data-dir", data_dir
        ).fault(0)

    def on_terminal(columns: int, *arguments: object) -> str | None:
        def work() -> None:
            child, terminal = pty.fork()
            if child == 0:
                os.environ.update(COLUMNS=str(columns), PYTHONPATH=SOURCE)
                os.execv(sys.executable, [sys.executable, "-m", "mnist_cli", *map(str, arguments)])
            text = b""
            try:
                while more := os.read(terminal, 65_536):
                    text += more
            except OSError:
                pass
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(text.decode(errors="replace"))
            raise SystemExit(status)

        return start(work, folder).fault(0)

    def backwards() -> str | None:
        def work() -> None:
            now = time.time()
            steps = iter(range(10**9))
            time.time = lambda: now - 3600 * next(steps)
            from mnist_cli.cli import app

            app(["train", *TINY, "--epochs", "3", "--data-dir", str(data_dir), "--name", "backwards"])

        return start(work, folder).fault(0) or mnist(folder, "predict", "seven.png").fault(0)

    def crowded() -> str | None:
        place = folder / "crowded"
        place.mkdir()

        def work() -> None:
            for number in range(4_096):
                run = runs.create(f"run-{number}", TrainConfig())
                (run.checkpoint_dir / "last.pt").symlink_to(pretrained.CHECKPOINT)
                runs.release(run)

        return (
            start(work, place).fault(0)
            or mnist(place, "predict", picture).fault(0)
            or mnist(place, "train", *TINY, "--epochs", "1", "--data-dir", data_dir).fault(0)
            or mnist(place, "runs").fault(0)
        )

    trials: list[Callable[[], str | None]] = [
        lambda: program(
            "train", *TINY, "--epochs", "1", "--data-dir", data_dir, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
        ),
        lambda: program("predict", "seven.png", LC_ALL="C", NO_COLOR="1", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        lambda: program("predict", *["seven.png"] * 300, shell="| head -n 1"),
        lambda: program("evaluate", "pretrained", "--data-dir", data_dir, shell="| head -n 1"),
        lambda: program("train", "--help", shell="| head -n 1"),
        lambda: program("train", "--help", shell=">&-", status=(0, 1)),
        lambda: program("predict", "seven.png", shell=">&-", status=(0, 1)),
        lambda: program("predict", "seven.png", shell=">/dev/full", status=(1,)),
        lambda: program("predict", "seven.png", shell="2>/dev/full", status=(0, 1)),
        lambda: program("predict", "-", shell="</dev/null", status=(1,)),
        lambda: program("predict", "-", shell="<&-", status=(1,)),
        lambda: program("predict", "-", shell="</dev/zero", status=(1,)),
        lambda: program("predict", "seven.png", TERM="dumb", COLUMNS="0"),
        lambda: program("predict", "seven.png", TERM="", COLUMNS="x", LINES="-1"),
        lambda: on_terminal(20, "train", *TINY, "--epochs", "2", "--data-dir", data_dir),
        lambda: on_terminal(20, "predict", "--show", "--top-k", "3", *["seven.png"] * 60),
        lambda: on_terminal(20, "download", "--offline", "--data-dir", "elsewhere"),
        backwards,
        crowded,
        *(lambda name=name: named(name) for name in NAMES),  # type: ignore[misc]
        *(lambda name=name: in_folder(name) for name in NAMES),  # type: ignore[misc]
    ]
    for number, trial in spread(trials, count):
        fault = trial()
        yield fault and f"trial {number}: {fault}"
