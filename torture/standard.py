"""The standard of SECURITY.md, kept by each command that takes a file: its worst files, within the limits of time and memory."""

import os
import random
from pathlib import Path

from typer.testing import CliRunner

from mnist_cli.cli import app
from torture import Outcomes, bombs
from torture.labels import HUGE, HUGE_BYTES
from torture.pictures import drawn
from torture.program import TINY, unpacked
from torture.workers import check_all

QUICK = (*TINY, "--train-size", "60", "--epochs", "1", "--name", "one")  # what a file says is overruled
# A file that nobody can read is shown to all commands; these also read files of random content that may be valid.
CHECKPOINT: tuple[tuple[str, ...], ...] = (
    ("info",),
    ("info", "--json"),
    ("runs",),
    ("runs", "--json"),
    ("evaluate",),
    ("export", "--output", "model.onnx"),
    ("predict", "seven.png", "--checkpoint"),
    ("serve", "--port", "0", "--checkpoint"),
    ("train", "--epochs", "9", "--resume"),
)
ONNX: tuple[tuple[str, ...], ...] = (("info",), ("predict", "seven.png", "--checkpoint"))
PICTURE: tuple[tuple[str, ...], ...] = (
    ("predict", "--checkpoint", "pretrained"),
    ("predict", "--checkpoint", "pretrained", "--json"),
    ("predict", "--checkpoint", "pretrained", "--explain", "why"),
    ("train", *QUICK, "--extra"),
)


def run(folder: Path, *arguments: object) -> str | None:
    """Run a command in this process and in a folder: it succeeds or ends with one sentence, and the status says which."""
    os.chdir(folder)
    done = CliRunner().invoke(app, [*map(str, arguments)], prog_name="mnist")
    if done.exception and not isinstance(done.exception, SystemExit):
        return f"{arguments}: {done.exception!r}"
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    if done.exit_code not in {0, 1, 2} or len(errors) != (done.exit_code != 0):
        return f"{arguments}: exit status {done.exit_code}: {done.output[-600:]!r}"
    return None


def prepare(folder: Path) -> None:
    """Fill a folder with what the commands read beside the file."""
    unpacked(folder)
    drawn("RGB").save(folder / "seven.png")


def check_model(seed: int, number: int, folder: Path) -> str | None:
    """Name a checkpoint or an ONNX file to a command that reads one."""
    generator = random.Random(f"{seed}/{number}")
    if generator.random() < 0.3:
        path = folder / "model.onnx"
        path.write_bytes(bombs.onnx(generator))
        return run(folder, *generator.choice(ONNX), path)
    path = folder / "checkpoints" / "one" / "last.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bombs.checkpoint(generator))
    command = generator.choice(CHECKPOINT)
    data = ("--data-dir", folder / "data") if command[0] in {"evaluate", "train"} else ()
    name = () if command[0] == "runs" else (path,)
    return run(folder, *command[:1], *data, *command[1:], *name)


def check_configuration(seed: int, number: int, folder: Path) -> str | None:
    """Train with a configuration, or with a table of pictures."""
    generator = random.Random(f"{seed}/{number}")
    train = ("train", "--data-dir", folder / "data", *QUICK)
    if number % 2:
        path = folder / "config.toml"
        path.write_text(bombs.toml(generator))
        return run(folder, *train, "--config", path)
    place = folder / "extra"
    place.mkdir(exist_ok=True)
    piece = generator.choice(HUGE)
    (place / "labels.csv").write_bytes(b"path,digit\n" + piece * (HUGE_BYTES // len(piece)))
    return run(folder, *train, "--extra", place)


def check_picture(seed: int, number: int, folder: Path) -> str | None:
    """Name a picture to a command that reads one."""
    generator = random.Random(f"{seed}/{number}")
    place = folder / "extra"
    place.mkdir(exist_ok=True)
    path = place / "picture.png"
    path.write_bytes(generator.choice((bombs.tiff, bombs.jpeg))(generator))
    (place / "labels.csv").write_text("path,digit\npicture.png,7\n")
    command = generator.choice(PICTURE)
    data = ("--data-dir", folder / "data") if command[0] == "train" else ()
    return run(folder, *command[:1], *data, *command[1:], place if command[0] == "train" else path)


def models(count: int, seed: int, folder: Path) -> Outcomes:
    """Checkpoints and ONNX files."""
    prepare(folder)
    yield from check_all(check_model, count, seed, folder, bombs.FILE)


def configurations(count: int, seed: int, folder: Path) -> Outcomes:
    """Configurations and tables."""
    prepare(folder)
    yield from check_all(check_configuration, count, seed, folder, bombs.FILE)


def pictures(count: int, seed: int, folder: Path) -> Outcomes:
    """Pictures."""
    prepare(folder)
    yield from check_all(check_picture, count, seed, folder, bombs.PICTURE)
