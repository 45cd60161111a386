"""`mnist predict`: recognize the digits in pictures."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mnist_cli.cli.console import Device, ModelToUse, describe_model, find_model, print_result, print_status, show_error
from mnist_cli.cli.writers import CsvWriter, JsonWriter, LineWriter, TableWriter, Writer
from mnist_cli.errors import ConfigError
from mnist_cli.names import printable
from mnist_cli.recognition import patterns
from mnist_cli.recognition.patterns import Pattern
from mnist_cli.recognition.result import Result

if TYPE_CHECKING:
    from mnist_cli.bulk.parts import Counts, Format
    from mnist_cli.bulk.shards import Shard
    from mnist_cli.models.backends import LoadedModel
    from mnist_cli.recognition.pipeline import Options

MIN_FILES_FOR_BAR = 50  # a progress bar is shown for more files than this
MAX_NAME_CHARACTERS = 50  # of an explanation; with a number and a temporary suffix the file system must still allow it


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Pictures, folders of pictures, or - for standard input; also tar archives, Parquet and IDX files of "
        "pictures, text files of paths, URLs of all these, wildcards, and ranges such as shard-{000..999}.tar.",
    ),
]
Many = Annotated[bool, typer.Option("--many", help="Read all the digits in each picture as numbers, line by line.")]
DigitCount = Annotated[
    int | None,
    typer.Option(
        min=1, max=patterns.MAX_LENGTH, help="Read the line that has this many digits; as --pattern with so many d."
    ),
]
FieldPattern = Annotated[
    str | None,
    typer.Option(
        metavar="dddd-dd",
        help="Read the line that has this form: d is a digit, and one of `-/.,:` or a space parts groups of digits.",
    ),
]
MinConfidence = Annotated[
    float, typer.Option(min=0, max=1, help="Reject a digit as `unclear` when its probability is below this.")
]
TopK = Annotated[
    int | None, typer.Option(min=1, max=10, help="Number of the likeliest digits to show.", show_default="1")
]
Show = Annotated[
    bool, typer.Option("--show", help="On a terminal, draw the 28x28 input of the model beside each digit.")
]
ExplainFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        readable=False,
        help="Save an image for each picture to this folder: its ink, the input of the model, the "
        "probabilities, and where the evidence for the likeliest digit and for the runner-up lies; with --many, a box around each digit.",
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object per line: path, digit, label, confidence, probabilities, reason; "
        "--top-k adds top, and --many digits, text, numbers and lines.",
    ),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print a CSV table: path, digit, confidence, reason, p0 to p9.")]
OutputFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        readable=False,
        help="Write the results of many pictures to files in this folder, on all cores; the same command goes on "
        "where an earlier one was stopped.",
    ),
]
PartFormat = Annotated[
    Literal["parquet", "csv", "jsonl"] | None,
    typer.Option("--format", help="Format of these files.", show_default="parquet"),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Compute on the Dask cluster whose scheduler has this address, such as tcp://scheduler:8786.",
        show_default="this machine",
    ),
]


def predict(
    sources: Sources,
    many: Many = False,
    digits: DigitCount = None,
    pattern: FieldPattern = None,
    min_confidence: MinConfidence = 0.0,
    top_k: TopK = None,
    show: Show = False,
    explain: ExplainFolder = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    output: OutputFolder = None,
    output_format: PartFormat = None,
    cluster: Cluster = None,
    checkpoint: ModelToUse = None,
    device: Device = None,
) -> None:
    """Recognize the digit in each picture, with its probability.

    A picture may have any size and be dark on light or light on dark: it is redrawn the way MNIST draws digits. A
    picture without a digit gets `?` and the reason. Folders are searched for pictures, hidden ones left out.

    A file that cannot be read is named on stderr; the others are still recognized, and the exit status is 1. With
    --output its row has the reason, and the exit status is 0 when every picture has its row.

    \b
      mnist predict seven.png
      mnist predict --many page.jpg
      mnist predict --pattern dd/dd/dddd date.png
      mnist predict photos/ --min-confidence 0.9 --csv > digits.csv
      mnist predict seven.png --top-k 3 --show --explain why/
      mnist predict 'shard-{000..999}.tar' --output digits/
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    _refuse_contradictions(top_k, as_json, as_csv)
    form = _form_of(digits, pattern)
    many = many or form is not None
    if output is not None:
        _refuse_with_output(
            sources, {"--top-k": top_k, "--show": show, "--explain": explain, "--json": as_json, "--csv": as_csv}
        )
    elif output_format or cluster:
        raise ConfigError(f"{'--format' if output_format else '--cluster'} goes with --output only")

    from mnist_cli.bulk import streams
    from mnist_cli.models import backends
    from mnist_cli.pictures import decode
    from mnist_cli.recognition import pipeline

    decode.silence_libraries()
    options = pipeline.Options(
        many, min_confidence, keep_pixels=explain is not None, pattern=form, with_evidence=explain is not None
    )
    if output is not None:
        device = device or "cpu"  # of which each process needs one
    loaded = backends.load(find_model(checkpoint), device)
    print_status(describe_model(loaded, is_named=checkpoint is not None))
    if output is not None:
        _write_parts(sources, loaded, options, output, output_format or "parquet", cluster)
        return
    if explain:
        explain.mkdir(parents=True, exist_ok=True)
    shards, names = _split(sources, streams.PAGES if many else streams.SHARD)
    writer = _choose_writer(loaded.model.classes, names, many, top_k or 0, show, as_json, as_csv)
    results = _with_bar(streams.recognize(loaded, shards, options), len(names))
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


def _refuse_with_output(sources: list[str], options: dict[str, object]) -> None:
    """Raise ConfigError for what is for results that are printed."""
    for option, value in options.items():
        if value:
            hint = "; choose --format jsonl or --format csv" if option in {"--json", "--csv"} else ""
            raise ConfigError(f"{option} does not go with --output{hint}")
    if "-" in sources:
        raise ConfigError("standard input (-) does not go with --output; name files")


def _split(sources: list[str], size: int) -> "tuple[list[Shard], list[str]]":
    """Return the shards of the sources and the names of their pictures, as far as they are known; tell what is left out."""
    from mnist_cli.bulk import plan
    from mnist_cli.bulk.shards import Files

    shards = list(plan.split(map(_normalized, sources), size))
    # Not Path objects, which take five times the memory.
    names = [name for shard in shards for name in (shard.names if isinstance(shard, Files) else [shard.source])]
    _tell_left_out(sources, names)
    return shards, names


def _write_parts(
    sources: list[str], loaded: "LoadedModel", options: "Options", folder: Path, form: "Format", address: str | None
) -> None:
    """Write the results to files in a folder, and print the folder."""
    from mnist_cli.bulk import executors, output, parts, plan, work
    from mnist_cli.bulk.shards import Files

    parts.check_format(form)
    shards = plan.split_evenly(map(_normalized, sources), options.many)
    _tell_left_out(sources, (name for shard in shards if isinstance(shard, Files) for name in shard.names))
    job = work.job_of(loaded, options, form)
    with executors.cluster(address) if address else executors.local() as crew, _bar_of_parts(len(shards)) as advance:
        counts = output.write(job, shards, folder, crew, advance)
    unreadable = f", of which {counts.unreadable:,} could not be read" if counts.unreadable else ""
    print_status(f"{counts.pictures:,} {'picture' if counts.pictures == 1 else 'pictures'}{unreadable}.")
    print_result(str(folder))


def _normalized(source: str) -> str:
    """Return the shortest form of a path; raises ConfigError for an empty one, which would be the current folder."""
    from mnist_cli.bulk import places

    if not source:
        raise ConfigError("a source without a name is no picture; `.` is the current folder")
    if places.is_url(source) or source == "-":
        return source
    shortest = str(Path(source))
    return os.path.join(os.curdir, shortest) if shortest == "-" else shortest  # a file of that name, not standard input


def _tell_left_out(sources: list[str], names: Iterable[str]) -> None:
    from mnist_cli.pictures import folders

    left_out = sum((folders.count_left_out(source) for source in sources if os.path.isdir(source)), Counter[str]())
    if line := folders.describe_left_out(left_out, names):
        print_status(line)


@contextmanager
def _bar_of_parts(count: int) -> "Iterator[Callable[[Counts], None]]":
    """Yield a function that advances a progress bar by a part, and shows how many pictures are recognized in a second."""
    if not sys.stderr.isatty():
        yield lambda counts: None
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        MofNCompleteColumn(),
        TextColumn("parts"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task, begin, pictures = bar.add_task("parts", total=count, speed=""), time.monotonic(), 0

        def advance(counts: "Counts") -> None:
            nonlocal pictures
            pictures += counts.pictures
            bar.update(task, advance=1, speed=f"{pictures / (time.monotonic() - begin):,.0f} pictures/s")

        yield advance


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


def _choose_writer(
    classes: Sequence[str], names: list[str], many: bool, top_k: int, show: bool, as_json: bool, as_csv: bool
) -> Writer:
    if as_json:
        return JsonWriter(top_k, many)
    if as_csv:
        return CsvWriter(many, classes)
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
        with replacing(_free_path(folder, Path(result.path), saved)) as file:
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
