"""`mnist download`: install the data from its mirrors, a folder or the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_cli.cli.console import say
from mnist_cli.config import DATA_DIR

if TYPE_CHECKING:
    from mnist_cli.datasets.mnist_files import IdxFile


Target = Annotated[
    Path, typer.Option(envvar="MNIST_DATA_DIR", readable=False, help="Folder to write the MNIST files to.")
]
Mirrors = Annotated[
    list[str] | None,
    typer.Option(metavar="URL", help="Download from here instead of the known mirrors; may be given several times."),
]
Source = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="PATH",
        exists=True,
        file_okay=False,
        help="Take the files from this folder: raw, .gz or .xz.",
    ),
]


def download(
    data_dir: Target = DATA_DIR,
    mirror: Mirrors = None,
    source: Source = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the copy that ships with the program.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace valid files, too.")] = False,
) -> None:
    """Install the four MNIST files and verify them.

    `mnist train` does not need this: it unpacks the copy that ships with the program. Valid files are kept, and a file
    that is not MNIST is never replaced. Without --from and --offline the files are downloaded from the mirrors; when none
    of these works, the copy that ships is used.
    """
    from mnist_cli.datasets import mnist_files

    if offline + bool(mirror) + bool(source) > 1:
        raise typer.BadParameter("--offline, --mirror and --from cannot be combined; choose one of them.")
    if mirror:
        _check(mirror)
    wanted = list(mnist_files.FILES) if force else list(mnist_files.find_faults(data_dir))
    mnist_files.check_replaceable(data_dir, wanted)
    if source:
        for file in wanted:
            mnist_files.install_from_folder(file, data_dir, source)
    elif wanted and offline:
        _install_bundled(wanted, data_dir)
    elif wanted:
        _fetch(wanted, data_dir, mirror)
    say(f"All four files are in {mnist_files.raw_dir(data_dir)} and verified.")


def _check(urls: list[str]) -> None:
    """Raise ConfigError for an invalid URL, even when no download is needed."""
    from mnist_cli.datasets import mirrors

    for url in urls:
        mirrors.check(url)


def _fetch(wanted: "list[IdxFile]", data_dir: Path, mirror: list[str] | None) -> None:
    """Download the files from the mirrors, and install those that fail from the package."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from mnist_cli.datasets import mirrors

    urls = mirror or mirrors.known_mirrors()
    say(f"Downloading {len(wanted)} of 4 files from {', '.join(urls)}.")
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        tasks = {file.name: bar.add_task(file.name, total=file.archive_size) for file in wanted}

        def show(name: str, received: int, total: int) -> None:
            bar.update(tasks[name], completed=received)

        missing, failures = mirrors.download(wanted, data_dir, urls, show)
    for url, reason in failures.items():
        say(f"{url} {reason}.")
    if missing:
        _install_bundled(missing, data_dir)


def _install_bundled(files: "list[IdxFile]", data_dir: Path) -> None:
    from mnist_cli.datasets import mnist_files

    for file in files:
        mnist_files.install_bundled(file, data_dir)
    say(f"Unpacked {len(files)} of 4 files from the copy that ships with the program.")
