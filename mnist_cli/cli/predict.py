"""`mnist predict`: recognize the digits in pictures."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mnist_cli.cli.console import Device, ModelToUse, describe_model, find_model, say, show_error
from mnist_cli.cli.writers import CsvWriter, JsonWriter, LineWriter, TableWriter, Writer
from mnist_cli.errors import ConfigError
from mnist_cli.names import printable
from mnist_cli.recognition import patterns
from mnist_cli.recognition.patterns import Pattern
from mnist_cli.recognition.result import Result

MIN_FILES_FOR_BAR = 50  # a progress bar is shown for more files than this
MAX_NAME_CHARACTERS = 50  # of an explanation; with a number and a temporary suffix the file system must still allow it


def predict(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...", readable=False, help="Pictures, folders of pictures, or - for standard input."
        ),
    ],
    many: Annotated[
        bool, typer.Option("--many", help="Read all the digits in each picture as numbers, line by line.")
    ] = False,
    digits: Annotated[
        int | None,
        typer.Option(
            min=1, max=patterns.MAX_LENGTH, help="Read the line that has this many digits; as --pattern with so many d."
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="dddd-dd",
            help="Read the line that has this form: d is a digit, and one of `-/.,:` or a space parts groups of digits.",
        ),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Reject a digit as `unclear` when its probability is below this.")
    ] = 0.0,
    top_k: Annotated[
        int | None, typer.Option(min=1, max=10, help="Number of the likeliest digits to show.", show_default="1")
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="On a terminal, draw the 28x28 input of the model beside each digit.")
    ] = False,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            readable=False,
            help="Save an image for each picture to this folder: its ink, the input of the model, the probabilities; "
            "with --many, a box around each digit.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object per line: path, digit, confidence, probabilities, reason; "
            "--top-k adds top, and --many digits, text, numbers and lines.",
        ),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a CSV table: path, digit, confidence, reason, p0 to p9.")
    ] = False,
    checkpoint: ModelToUse = None,
    device: Device = None,
) -> None:
    """Recognize the digit in each picture, with its probability.

    A picture may have any size and be dark on light or light on dark: it is redrawn the way MNIST draws digits. A
    picture without a digit gets `?` and the reason. Folders are searched for pictures, hidden ones left out.

    A file that cannot be read is named on stderr; the others are still recognized, and the exit status is 1.

    \b
      mnist predict seven.png
      mnist predict --many page.jpg
      mnist predict --pattern dd/dd/dddd date.png
      mnist predict photos/ --min-confidence 0.9 --csv > digits.csv
      mnist predict seven.png --top-k 3 --show --explain why/
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    _refuse_contradictions(top_k, as_json, as_csv)
    form = _form_of(digits, pattern)
    many = many or form is not None

    from mnist_cli.models import backends
    from mnist_cli.pictures import decode, folders
    from mnist_cli.recognition import pipeline, sources

    decode.silence_libraries()
    loaded = backends.load(find_model(checkpoint), device)
    say(describe_model(loaded, is_named=checkpoint is not None))
    if explain:
        explain.mkdir(parents=True, exist_ok=True)
    names = list(sources.expand(map(str, files)))  # not Path objects, which take five times the memory
    left_out = sum((folders.count_left_out(file) for file in files if os.path.isdir(file)), Counter[str]())
    if line := folders.describe_left_out(left_out, names):
        say(line)
    writer = _choose_writer(names, many, top_k or 0, show, as_json, as_csv)
    options = pipeline.Options(many, min_confidence, keep_pixels=explain is not None, pattern=form)
    results = _with_bar(pipeline.recognize(loaded.model, names, options), len(names))
    if not _write(results, writer, explain, loaded.path):
        raise typer.Exit(1)


def _refuse_contradictions(top_k: int | None, as_json: bool, as_csv: bool) -> None:
    """Raise ConfigError for options that contradict each other."""
    if as_json and as_csv:
        raise ConfigError("--json and --csv cannot be combined; choose one of them")
    if as_csv and top_k:
        raise ConfigError("--csv has the probabilities of all digits, so it cannot be combined with --top-k")


def _form_of(digits: int | None, pattern: str | None) -> Pattern | None:
    """Return the form that a line has to have, if any; raises ConfigError when there are two."""
    if digits and pattern is not None:
        raise ConfigError("--digits and --pattern do not go together; --pattern says how many digits there are")
    if digits:
        return Pattern(patterns.DIGIT * digits)
    return None if pattern is None else Pattern(pattern)


def _write(batches: Iterator[list[Result]], writer: Writer, explain: Path | None, model: Path) -> bool:
    """Write all results, errors to stderr, and return whether every picture could be read."""
    saved: Counter[str] = Counter()
    all_read = True
    for results in batches:
        for result in results:
            if result.error:
                show_error(f"{result.path}: {result.error}")
                all_read = False
            elif explain:
                _explain(result, explain, saved, model)
        writer.write(results)
    return all_read


def _choose_writer(names: list[str], many: bool, top_k: int, show: bool, as_json: bool, as_csv: bool) -> Writer:
    if as_json:
        return JsonWriter(top_k, many)
    if as_csv:
        return CsvWriter(many)
    if not sys.stdout.isatty():
        return LineWriter(top_k)
    from rich.console import Console

    return TableWriter(Console(), names, top_k, many, show)


def _with_bar(batches: Iterator[list[Result]], files: int) -> Iterator[list[Result]]:
    """Show the progress while the results are redirected; on a terminal the results themselves show it."""
    if files <= MIN_FILES_FOR_BAR or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from batches
        return

    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("pictures", total=files)
        for results in batches:
            yield results
            bar.advance(task, len(results))


def _explain(result: Result, folder: Path, saved: "Counter[str]", model: Path) -> None:
    """Save an image for a picture under its name; `model` is named in it, and `saved` counts the images of each name."""
    from mnist_cli.files import replacing
    from mnist_cli.reporting import explanations

    if result.path and result.picture is not None:
        with replacing(_free_path(folder, result.path, saved)) as file:
            source = printable(f"{result.path} · {model}")
            explanations.explain(result.picture, result.prediction, result.digits, source).save(file, "PNG")


def _free_path(folder: Path, picture: Path, saved: "Counter[str]") -> Path:
    """Return a path in `folder` with the name of a picture, numbered when that exists: it may be the picture itself."""
    name = "stdin" if str(picture) == "-" else picture.stem[:MAX_NAME_CHARACTERS]
    while True:
        saved[name] += 1
        path = folder / (f"{name}.png" if saved[name] == 1 else f"{name}-{saved[name]}.png")
        if not os.path.lexists(path):
            return path
