"""Unusual environments: file names, locales, streams, terminals, clocks, and folders with thousands of runs."""

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mnist_cli.config import TrainConfig
from mnist_cli.models import pretrained
from mnist_cli.training import runs
from torture import Outcomes, spread
from torture.pictures import drawn
from torture.program import TINY, mnist, start, unpacked

SOURCE = str(Path(runs.__file__).parents[2])  # every process runs the program from here, whatever is installed
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NAMES = [
    "with spaces.png", "[bold red]brackets[/].png", "new\nline.png", "🎉.png", "back\\slash.png", "-dash.png", "'quote\".png",
    "\x1b[31mred.png", "\u202egnp.exe.png", "é́.png", "$(touch x).png", "%s%n.png", os.fsdecode(b"\xff\xfe.png"), "x" * 250 + ".png",
]  # fmt: skip

Trial = Callable[[], str | None]


def environments(count: int, seed: int, folder: Path) -> Outcomes:
    """Run commands in such environments."""
    data_dir = unpacked(folder)
    drawn("RGB").save(folder / "seven.png")
    trials = [*_of_streams(folder, data_dir), *_of_terminals(folder, data_dir)]
    trials += [partial(trial, folder, data_dir) for trial in (_clock_runs_backwards, _thousands_of_runs)]
    trials += [partial(_picture_named, name, folder) for name in NAMES]
    trials += [partial(_run_in_folder, name, folder, data_dir) for name in NAMES]
    for number, trial in spread(trials, count):
        fault = trial()
        yield fault and f"trial {number}: {fault}"


def _of_streams(folder: Path, data_dir: Path) -> list[Trial]:
    """Return trials with other locales, and with streams that are closed, full, empty or endless."""
    evaluate = "evaluate", "pretrained", "--data-dir", data_dir
    run = partial(_run, folder)
    return [
        partial(run, "train", *TINY, "--epochs", "1", "--data-dir", data_dir, **C_LOCALE),
        partial(run, "predict", "seven.png", NO_COLOR="1", **C_LOCALE),
        partial(run, "predict", *["seven.png"] * 300, shell="| head -n 1"),
        partial(run, *evaluate, shell="| head -n 1"),
        partial(run, "train", "--help", shell="| head -n 1"),
        partial(run, "train", "--help", shell=">&-", status=(0, 1)),
        partial(run, "predict", "seven.png", shell=">&-", status=(0, 1)),
        partial(run, "predict", "seven.png", shell=">/dev/full", status=(1,)),
        partial(run, "predict", "seven.png", shell="2>/dev/full", status=(0, 1)),
        partial(run, "predict", "-", shell="</dev/null", status=(1,)),
        partial(run, "predict", "-", shell="<&-", status=(1,)),
        partial(run, "predict", "-", shell="</dev/zero", status=(1,)),
        partial(run, "predict", "seven.png", TERM="dumb", COLUMNS="0"),
        partial(run, "predict", "seven.png", TERM="", COLUMNS="x", LINES="-1"),
    ]


def _of_terminals(folder: Path, data_dir: Path) -> list[Trial]:
    """Return trials on a terminal of 20 columns."""
    return [
        partial(_run_on_terminal, folder, "train", *TINY, "--epochs", "2", "--data-dir", data_dir),
        partial(_run_on_terminal, folder, "predict", "--show", "--top-k", "3", *["seven.png"] * 60),
        partial(_run_on_terminal, folder, "download", "--offline", "--data-dir", "elsewhere"),
    ]


def _run(
    folder: Path, *arguments: object, shell: str = "", status: tuple[int, ...] = (0,), **environment: str
) -> str | None:
    """Run `mnist`, with a redirection of the shell behind it if one is given."""
    command = [sys.executable, "-m", "mnist_cli", *map(str, arguments)]
    if shell:
        command = ["bash", "-c", f'"$@" {shell}', "bash", *command]
    values = {**os.environ, **environment, "PYTHONPATH": SOURCE}
    done = subprocess.run(command, capture_output=True, cwd=folder, env=values, check=False)
    text = (done.stdout + done.stderr).decode(errors="replace")
    is_right = done.returncode in status and "Traceback" not in text and "Exception ignored" not in text
    return None if is_right else f"{arguments} {shell} {environment}: status {done.returncode}, {text[-500:]!r}"


def _run_on_terminal(folder: Path, *arguments: object) -> str | None:
    """Run `mnist` on a terminal of 20 columns."""

    def work() -> None:
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(COLUMNS="20", PYTHONPATH=SOURCE)
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


def _picture_named(name: str, folder: Path) -> str | None:
    """Recognize a picture with an unusual name, in all output formats."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((folder / "seven.png").read_bytes())
    for options in ((), ("--json",), ("--csv",), ("--explain", folder / "why"), ("--many",)):
        if fault := mnist(folder, "predict", *options, "--", path).fault(0):
            return f"{options}: {fault}"
    return _run_on_terminal(folder, "predict", "--", path)


def _run_in_folder(name: str, folder: Path, data_dir: Path) -> str | None:
    """Train and evaluate in a folder with an unusual name."""
    place = folder / name.removesuffix(".png")[:100]
    place.mkdir(parents=True, exist_ok=True)
    train = mnist(place, "train", *TINY, "--epochs", "1", "--data-dir", place / "data", said=folder / ".said")
    if fault := train.fault(0):
        return fault
    checkpoint = next(place.glob("checkpoints/*/last.pt"))
    return mnist(folder, "evaluate", checkpoint, "--data-dir", data_dir).fault(0)


def _clock_runs_backwards(folder: Path, data_dir: Path) -> str | None:
    """Train while each call of `time.time` returns an hour less."""

    def work() -> None:
        now = time.time()
        steps = iter(range(10**9))
        time.time = lambda: now - 3600 * next(steps)
        from mnist_cli.cli import app

        app(["train", *TINY, "--epochs", "3", "--data-dir", str(data_dir), "--name", "backwards"])

    return start(work, folder).fault(0) or mnist(folder, "predict", "seven.png").fault(0)


def _thousands_of_runs(folder: Path, data_dir: Path) -> str | None:
    """Predict, train and list runs in a folder with 4,096 of them."""
    place = folder / "crowded"
    place.mkdir()

    def work() -> None:
        for number in range(4_096):
            run = runs.create(f"run-{number}", TrainConfig())
            (run.checkpoint_dir / "last.pt").symlink_to(pretrained.CHECKPOINT)
            runs.release(run)

    return (
        start(work, place).fault(0)
        or mnist(place, "predict", folder / "seven.png").fault(0)
        or mnist(place, "train", *TINY, "--epochs", "1", "--data-dir", data_dir).fault(0)
        or mnist(place, "runs").fault(0)
    )
