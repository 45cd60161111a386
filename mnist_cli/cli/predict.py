"""`mnist predict`: say which digit is in a picture."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_cli.cli.console import Device, ModelToUse, any_name, describe_model, say, show_error
from mnist_cli.cli.writers import CsvWriter, JsonWriter, LineWriter, TableWriter, Writer
from mnist_cli.errors import ConfigError, ImageError
from mnist_cli.recognition.answers import Answer
from mnist_cli.training import runs

if TYPE_CHECKING:
    from mnist_cli.models.interface import Model

BATCH = 64  # pictures read at a time; no more than two such batches are held, however many files there are
WORTH_A_BAR = 50  # files, beyond which it takes a while
LONGEST_NAME = 50  # characters; with a number and a temporary ending it must still be one for the file system


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", readable=False, help="Pictures, folders of pictures, or - for standard input."
        ),
    ],
    many: Annotated[
        bool, typer.Option("--many", help="Read all the digits in each picture, line by line, such as a number.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Call a digit `unclear` when its probability is below this.")
    ] = 0.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, max=10, help="Show so many of the likeliest digits.", show_default="1")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Draw what the model saw of each picture beside its answer, on a terminal.")
    ] = False,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            readable=False,
            help="Save there, for each picture, an image of the ink, of what the model saw and of what it thought.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object a line: path, digit, confidence, probabilities, reason; "
            "--top-k adds top, and --many digits and text.",
        ),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a table for other programs: path, digit, confidence, reason, p0 to p9.")
    ] = False,
    checkpoint: ModelToUse = None,
    device: Device = None,
) -> None:
    """Name the digit in each picture, and how sure the model is.

    A picture may have any size and be dark on light or light on dark: it is redrawn the way MNIST draws digits. One
    that holds no digit is answered with `?` and the reason. Folders are searched for pictures, hidden ones left out.

    A file that cannot be used is named on stderr; the others are still answered, and the exit status is 1.

    \b
      mnist predict seven.png
      mnist predict --many page.jpg
      mnist predict photos/ --min-confidence 0.9 --csv > answers.csv
      mnist predict seven.png --top-k 3 --show --explain why/
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    _refuse_contradictions(many, top_k, show, explain, as_json, as_csv)

    from mnist_cli.models import backends

    loaded = backends.load(runs.find_checkpoint(checkpoint), device)
    say(describe_model(loaded, is_named=checkpoint is not None))
    if explain:
        explain.mkdir(parents=True, exist_ok=True)
    any_name()
    names = _find_pictures(files)
    writer = _choose_writer(names, many, top_k or 0, show, as_json, as_csv)
    saved: Counter[str] = Counter()
    all_read = True
    for answers in _with_bar(_answer(names, loaded.model, min_confidence, many), len(names)):
        if explain:
            _explain(answers, explain, saved)
        writer.write(answers)
        all_read = all_read and not any(answer.error for answer in answers)
    if not all_read:
        raise typer.Exit(1)


def _refuse_contradictions(
    many: bool, top_k: int | None, show: bool, explain: Path | None, as_json: bool, as_csv: bool
) -> None:
    """Raise ConfigError for options that do not go together."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv do not go together; choose one of them")
    if as_csv and top_k:
        raise ConfigError("--csv has the probabilities of all digits, so --top-k does not go with it")
    for option, is_given in {"--top-k": top_k, "--show": show, "--explain": explain}.items():
        if many and is_given:
            raise ConfigError(f"{option} is about one digit a picture, so it does not go with --many")


def _find_pictures(files: list[Path]) -> list[str]:
    """Return the files to read, with the pictures below a folder in its place; a folder without any stays."""
    names: list[str] = []  # and not paths, which take five times the memory
    for file in files:
        names += (_pictures_below(file) if os.path.isdir(file) else []) or [str(file)]
    return names


def _pictures_below(folder: Path) -> list[str]:
    from mnist_cli.pictures.decode import SUFFIXES

    names: list[str] = []
    unreadable: list[str] = []  # told as any other file that cannot be used
    for parent, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(error.filename)):
        folders[:] = (name for name in folders if not name.startswith("."))
        pictures = (name for name in files if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES)
        names += [os.path.join(parent, name) for name in pictures]
    return sorted(names + unreadable)


def _answer(names: list[str], model: "Model", min_confidence: float, many: bool) -> Iterator[list[Answer]]:
    """Yield the answers to all files in their order, a batch at a time."""
    for answers in _read_ahead(names, many):
        (_find_digits if many else _classify)(model, answers, min_confidence)
        yield answers
        for answer in answers:
            answer.picture = None  # the next ones need the memory


def _read_ahead(names: list[str], many: bool) -> Iterator[list[Answer]]:
    """Yield what is in the files, a batch at a time, of which the next one is read while the last is classified."""
    size = 1 if many else BATCH  # a page of digits is read with all its pixels

    def read(start: int) -> list[Answer]:
        return [_read(Path(name), many) for name in names[start : start + size]]

    if len(names) <= size:
        yield read(0)
        return
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, 0)
        for start in range(size, len(names) + size, size):
            answers = ahead.result()
            ahead = reader.submit(read, start)
            yield answers


def _classify(model: "Model", answers: list[Answer], min_confidence: float) -> None:
    from mnist_cli.recognition import classification

    read = [(answer, answer.picture) for answer in answers if answer.picture is not None]
    found = classification.classify(model, [picture for _, picture in read], min_confidence)
    for (answer, _), prediction in zip(read, found, strict=True):
        answer.prediction = prediction


def _find_digits(model: "Model", answers: list[Answer], min_confidence: float) -> None:
    from mnist_cli.recognition import numbers

    for answer in answers:
        if answer.picture is not None:
            answer.set_found(numbers.find_digits(model, answer.picture, min_confidence))


def _read(path: Path, whole: bool) -> Answer:
    """Return what is in a file, with all its pixels if `whole`, and show why when there is no picture."""
    from mnist_cli.pictures import decode

    try:
        return Answer(path, decode.read(path, None) if whole else decode.read(path))
    except ImageError as error:
        why = str(error).removeprefix(f"{path}: ")
        if os.path.isdir(path):
            readable = os.access(path, os.R_OK | os.X_OK)
            why = f"there is no {'picture in' if readable else 'permission to read'} this folder"
        show_error(f"{path}: {why}")
        return Answer(path, error=why)


def _choose_writer(names: list[str], many: bool, top_k: int, show: bool, as_json: bool, as_csv: bool) -> Writer:
    if as_json:
        return JsonWriter(top_k, many)
    if as_csv:
        return CsvWriter(many)
    if not sys.stdout.isatty():
        return LineWriter(top_k)
    from rich.console import Console

    return TableWriter(Console(), names, top_k, many, show)


def _with_bar(batches: Iterator[list[Answer]], files: int) -> Iterator[list[Answer]]:
    """Show how far it is while the answers go elsewhere; on the terminal they show it themselves."""
    if files <= WORTH_A_BAR or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from batches
        return

    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("pictures", total=files)
        for answers in batches:
            yield answers
            bar.advance(task, len(answers))


def _explain(answers: list[Answer], folder: Path, saved: "Counter[str]") -> None:
    """Save an image for each picture under its name; `saved` counts how many there are of each."""
    from mnist_cli.files import replacing
    from mnist_cli.reporting import explanations

    for answer in answers:
        if answer.picture is not None and answer.prediction is not None:
            with replacing(_free_path(folder, answer.path, saved)) as file:
                explanations.draw(answer.picture, answer.prediction).save(file, "PNG")


def _free_path(folder: Path, picture: Path, saved: "Counter[str]") -> Path:
    """Return the name of a picture in `folder`, with a number when there is such a file: it may be the picture itself."""
    name = "stdin" if str(picture) == "-" else picture.stem[:LONGEST_NAME]
    while True:
        saved[name] += 1
        path = folder / (f"{name}.png" if saved[name] == 1 else f"{name}-{saved[name]}.png")
        if not os.path.lexists(path):
            return path
