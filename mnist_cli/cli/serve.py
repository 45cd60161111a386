"""`mnist serve`: the predictions over HTTP, and a page to draw on."""

import errno
import logging
import os
import re
import socket
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_cli import cores
from mnist_cli.cli.console import (
    CHECKPOINT,
    CHECKPOINT_HELP,
    DEFAULT_MODEL,
    check_packages,
    command,
    describe_model,
    find_model,
    print_status,
)
from mnist_cli.errors import ConfigError

if TYPE_CHECKING:
    from mnist_cli.models.backends import LoadedModel

LOCAL = ("localhost", "127.", "::1")  # prefixes of addresses that only this machine can reach


Host = Annotated[
    str, typer.Option(help="Address to listen on; 0.0.0.0 accepts requests from any machine, without a password.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 selects a free one.")]
OpenPage = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help="Allow requests from pages of this origin (CORS), such as https://example.org; may be given several "
        "times. * allows all.",
        show_default="only the service's own page",
    ),
]
Collect = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        readable=False,
        help="Save the pictures that users correct on the page to this folder, as PNG files and labels.csv.",
        show_default="no picture is stored",
    ),
]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Worker processes for the pictures of one client, started on demand; there are more for pages and for other "
        "clients. 1 takes the least memory.",
        show_default="one for each core that this process may use",
    ),
]
Checkpoints = Annotated[
    list[Path] | None,
    typer.Option(
        "--checkpoint",
        readable=False,
        metavar=CHECKPOINT,
        help=f"The model to use: {CHECKPOINT_HELP}. Further ones are compared with the first in the view Inside of the page.",
        show_default=DEFAULT_MODEL,
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Log one line per request: method, path, status, time.")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    checkpoint: Checkpoints = None,
    open_page: OpenPage = False,
    allow_origin: AllowOrigin = None,
    collect: Collect = None,
    workers: WorkerCount = None,
    verbose: Verbose = False,
) -> None:
    """Serve a page to draw digits on, and the predictions of `mnist predict` over HTTP.

    No picture is logged, and none is stored without --collect. The page sends requests to this program only, so it works
    without a network. Ctrl-C stops the service after the requests in flight, or after 5 seconds; a second Ctrl-C stops it
    at once.

    \b
      mnist serve --open
      curl --data-binary @seven.png http://127.0.0.1:8000/api/predict
      curl -F picture=@one.png -F picture=@two.png http://127.0.0.1:8000/api/predict
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    origins = _origins(allow_origin or ())
    check_packages("`mnist serve`")
    with _listen(host, port) as listener:
        from mnist_cli.models import backends
        from mnist_cli.serving import app, server

        workers = workers or cores.available()
        if workers > 1:
            os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core for each worker
        named: Sequence[Path | None] = checkpoint or [None]
        loaded, *compared = [backends.load(find_model(path)) for path in named]
        _refuse_other_classes(loaded, compared)
        service = app.build(loaded, collect, origins, host.startswith(LOCAL), workers, compared=compared)
        _log_to_stderr(verbose, server.LogLimit())
        address = _address(listener)
        for model in (loaded, *compared):
            print_status(describe_model(model, is_named=checkpoint is not None))
        if collect:
            print_status(f"Corrected pictures are saved in {collect}.")
        print_status(f"Draw on {address} or read the API documentation at {address}/docs; Ctrl-C stops.")
        if open_page:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):  # which uvicorn raises again after the shutdown
            server.Server(service).run(sockets=[listener])
    print_status("Stopped.")


def _refuse_other_classes(loaded: "LoadedModel", compared: "Sequence[LoadedModel]") -> None:
    """Raise ConfigError for a model whose classes are not those of the first."""
    for other in compared:
        if tuple(other.model.classes) != tuple(loaded.model.classes):
            raise ConfigError(f"{other.path} and {loaded.path} have different classes, so they cannot be compared")


def _origins(allowed: Sequence[str]) -> list[str]:
    """Return origins as browsers write them; raises ConfigError for an invalid one."""
    origins = [origin.rstrip("/").lower() for origin in allowed]
    for origin in origins:
        if not re.fullmatch(r"\*|https?://[^/]+", origin):
            raise ConfigError(f"--allow-origin {origin}: an origin looks like https://example.org, or is *")
    return origins


def _log_to_stderr(verbose: bool, limit: logging.Filter) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        format="%(asctime)s  %(message)s",
        datefmt="%H:%M:%S",
        level=logging.INFO if verbose else logging.WARNING,
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(limit)


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises ConfigError when the port or the address is not available."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family)
        # A response is sent in two parts, and the second would wait for the ACK of the first, which may take 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except socket.gaierror as error:
        raise ConfigError(f"--host {host}: there is no such address; 127.0.0.1 is this machine") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = f"another program listens there; type: {command('serve', '--port', port + 1 if port < 65535 else 0)}"
        elif error.errno == errno.EACCES:
            hint = f"ports below 1024 need a permission; type: {command('serve', '--port', 8000)}"
        else:
            hint = f"{error.strerror or error}; 127.0.0.1 is this machine"
        raise ConfigError(f"cannot listen on {host} port {port}: {hint}") from error


def _address(listener: socket.socket) -> str:
    """Return the URL of the service for a browser on this machine."""
    host, port, *_ = listener.getsockname()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
