"""`mnist serve`: the same answers over HTTP, and a page to draw on."""

from pathlib import Path
from typing import Annotated

import typer

from mnist_cli import runs
from mnist_cli.cli.terminal import say
from mnist_cli.config import CHECKPOINTS_DIR


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            readable=False,
            help="The model to use.",
            show_default=f"the newest under {CHECKPOINTS_DIR}, else the one that ships with mnist",
        ),
    ] = None,
) -> None:
    """Serve a page to draw digits on, and the same answers over HTTP."""
    import uvicorn

    from mnist_cli import runtimes
    from mnist_cli.serving import app

    loaded = runtimes.load(checkpoint or runs.find_newest(CHECKPOINTS_DIR))
    say(f"Draw on http://{host}:{port}")
    uvicorn.run(app.build(loaded), host=host, port=port)
