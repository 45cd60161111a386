"""`mnist samples`: pictures to try."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_cli.cli.console import command, print_result, print_status
from mnist_cli.errors import ConfigError


def samples(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="[FOLDER]", readable=False, help="Folder to write them to; created if it does not exist."
        ),
    ] = Path("samples"),
) -> None:
    """Write a few pictures to try `mnist predict` with: digits on paper and on a blackboard, a number, a star.

    No file is overwritten. Only the paths are printed on stdout.

    \b
      mnist samples
      mnist predict samples
      mnist predict --many samples/number.png
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    from mnist_cli.files import replacing
    from mnist_cli.reporting import samples as pictures

    drawn = pictures.draw()
    for name in drawn:
        if (folder / name).exists():
            raise ConfigError(f"{folder / name} exists already; name another folder, as in `mnist samples more`")
    for name, picture in drawn.items():
        with replacing(folder / name) as file:
            picture.save(file, "PNG")
        print_result(str(folder / name))
    print_status("Next, try:")
    print_status("  " + command("predict", folder))
    print_status("  " + command("predict", "--many", folder / "number.png"))
