"""`mnist download`: install the data from its mirrors, a folder or the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_cli.cli.console import MNIST, print_status
from mnist_cli.config import DATA_DIR
from mnist_cli.errors import ConfigError
from mnist_cli.hyperparameters import did_you_mean

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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
    name: Annotated[
        str,
        typer.Argument(metavar="[NAME]", help="The data set: mnist, fashion-mnist, kmnist, qmnist, usps or emnist-…"),
    ] = MNIST,
    data_dir: Target = DATA_DIR,
    mirror: Mirrors = None,
    source: Source = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use the copy that ships with the program.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace valid files, too.")] = False,
) -> None:
    """Install the four MNIST files, or those of another data set, and verify them.

    `mnist train` does not need this: it unpacks the copy that ships with the program. Valid files are kept, and a file
    that is not MNIST is never replaced. Without --from and --offline the files are downloaded from the mirrors; when none
    of these works, the copy that ships is used.
    """
    from mnist_cli.datasets import mnist_files

    if offline + bool(mirror) + bool(source) > 1:
        raise typer.BadParameter("--offline, --mirror and --from cannot be combined; choose one of them.")
    if mirror:
        _check(mirror)
    if name != MNIST:
        _download_other(name, data_dir, mirror or [], source, offline, force)
        return
    wanted = list(mnist_files.FILES) if force else list(mnist_files.find_faults(data_dir))
    mnist_files.check_replaceable(data_dir, wanted)
    if source:
        for file in wanted:
            mnist_files.install_from_folder(file, data_dir, source)
    elif wanted and offline:
        _install_bundled(wanted, data_dir)
    elif wanted:
        _fetch(wanted, data_dir, mirror)
    print_status(f"All four files are in {mnist_files.raw_dir(data_dir)} and verified.")


def _download_other(
    name: str, data_dir: Path, mirror: list[str], source: Path | None, offline: bool, force: bool
) -> None:
    """Install the files of another data set than MNIST, from a folder or the network."""
    from mnist_cli.datasets import named_archives, named_sets

    if name not in named_archives.ARCHIVES:
        meant = did_you_mean(name, named_sets.names())
        raise ConfigError(f"there is no data set {name!r}; choose from {', '.join(named_sets.names())}{meant}")
    if offline:
        raise ConfigError(f"only mnist ships with the program; leave --offline out to download {name}")
    wanted = named_archives.wanted(name, data_dir, force)
    if source:
        for published in wanted:
            named_archives.install_from(name, published, data_dir, source)
    elif wanted:
        print_status(f"Downloading {name} from {', '.join(mirror or [wanted[0].mirror])}.")
        with _progress_bar() as bar:
            for published in wanted:
                task = bar.add_task(published.archive.title, total=None)

                def show(title: str, received: int, total: int, task: "TaskID" = task) -> None:
                    bar.update(task, completed=received, total=total)

                named_archives.download(name, published, data_dir, mirror, show)
    print_status(f"The files of {name} are in {named_archives.folder_of(name, data_dir)}.")


def _progress_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _check(urls: list[str]) -> None:
    """Raise ConfigError for an invalid URL, even when no download is needed."""
    from mnist_cli.datasets import mirrors

    for url in urls:
        mirrors.check(url)


def _fetch(wanted: "list[IdxFile]", data_dir: Path, mirror: list[str] | None) -> None:
    """Download the files from the mirrors, and install those that fail from the package."""
    from mnist_cli.datasets import mirrors

    urls = mirror or mirrors.known_mirrors()
    print_status(f"Downloading {len(wanted)} of 4 files from {', '.join(urls)}.")
    with _progress_bar() as bar:
        tasks = {file.name: bar.add_task(file.name, total=file.archive_size) for file in wanted}

        def show(name: str, received: int, total: int) -> None:
            bar.update(tasks[name], completed=received)

        missing, failures = mirrors.download(wanted, data_dir, urls, show)
    for url, reason in failures.items():
        print_status(f"{url} {reason}.")
    if missing:
        _install_bundled(missing, data_dir)


def _install_bundled(files: "list[IdxFile]", data_dir: Path) -> None:
    from mnist_cli.datasets import mnist_files

    for file in files:
        mnist_files.install_bundled(file, data_dir)
    print_status(f"Unpacked {len(files)} of 4 files from the copy that ships with the program.")
