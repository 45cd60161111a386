"""`mnist train --watch`: a page that shows a run while it is trained, served by a thread of the program that trains it."""

import asyncio
import json
import math
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mnist_cli.errors import ConfigError
from mnist_cli.reporting.live import Command, Feed, LiveReport, Name
from mnist_cli.reporting.run import RunReport
from mnist_cli.serving.guard import Guard
from mnist_cli.training.loop import Trainer
from mnist_cli.training.runs import Run
from mnist_cli.training.session import Reporter

PAGE = Path(__file__).with_name("watch_page")
SHARED = Path(__file__).with_name("page")  # the page to draw on, whose style and drawing area this one has too
PORT = 8001
INTERVAL = 0.1  # seconds between two looks for news
MAX_COMMAND, MAX_PICTURE = 1_000, 1_000_000  # bytes of the body of a request
RETRY = 1_000  # ms after which a page tries again to connect
GRACE_SECONDS = 2  # for what clients still read at the end


class Watched(LiveReport):
    """A report of a run that is a page as well, for browsers on this machine and for as long as the run is trained."""

    def __init__(self, report: Reporter, run: Run, trainer: Trainer, announce: Callable[[str], object]) -> None:
        """Report on the remaining epochs of `trainer`, also to `report`; `announce` is called with the address of the page.

        Raises ConfigError for one of several processes.
        """
        if trainer.group.size > 1:
            raise ConfigError("--watch shows a run of one process; start it without torchrun, or leave --watch out")
        super().__init__(report, run, trainer)
        self.service = _Service(build(self.feed, self.commands.put))
        self.announce = announce

    def __enter__(self) -> Self:
        self.announce(self.service.start())
        try:
            return super().__enter__()
        except BaseException:
            self.service.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            self.service.stop()


def watched(run: Run, trainer: Trainer) -> Reporter:
    """Return the report for `mnist_cli.train(reporter=watched)`: it prints the address of the page and opens that in a browser."""

    def announce(url: str) -> None:
        print(f"Watch it on {url}")  # noqa: T201  (the way in which a notebook shows an address that can be clicked)
        open_page(url)

    return Watched(RunReport(run.log_dir, trainer, quiet=True), run, trainer, announce)


def open_page(url: str) -> None:
    """Open a page in a browser, unless that could only be one for the terminal, which the training uses."""
    if sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(url)


def build(feed: Feed, command: Callable[[Command], object]) -> Starlette:
    """Return the application that shows a feed, and hands commands to `command`.

    `GET events` streams the feed from the beginning as server-sent events, `POST command` takes `{"name": "pause"}` or
    another Name, and `PUT drawing` the picture to read.
    """

    async def events(request: Request) -> Response:
        return StreamingResponse(
            _stream(feed, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def give_command(request: Request) -> Response:
        parsed = _parse(await _body(request, MAX_COMMAND))
        if parsed is None:
            return Response(status_code=422)
        command(parsed)
        return Response(status_code=204)

    async def draw(request: Request) -> Response:
        picture = await _body(request, MAX_PICTURE)
        if picture is None:
            return Response(status_code=413)
        command(("draw", picture))
        return Response(status_code=204)

    routes = [
        Route("/events", events),
        Route("/command", give_command, methods=["POST"]),
        Route("/drawing", draw, methods=["PUT"]),
        Mount("/page", StaticFiles(directory=SHARED)),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, origins=(), only_local=True, option=False)])


class _Service:
    """Serves an application in a thread, on this machine only."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="error",
            ws="none",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self.server = uvicorn.Server(config)

    def start(self) -> str:
        """Start, and return the address of the page."""
        listener = _listen()
        # In a thread uvicorn handles no signals: Ctrl-C stops the training.
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self.thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def stop(self) -> None:
        """Stop, after the streams, which end with the feed."""
        self.server.should_exit = True
        self.thread.join(2 * GRACE_SECONDS)


def _listen() -> socket.socket:
    """Return a socket on PORT, or on a free port when another program has that."""
    with suppress(OSError):
        return socket.create_server(("127.0.0.1", PORT))
    return socket.create_server(("127.0.0.1", 0))


async def _stream(feed: Feed, request: Request) -> AsyncIterator[str]:
    """Yield what is new in a feed until it ends or the client goes: events from the one after Last-Event-ID on, and states."""
    last = request.headers.get("last-event-id", "")
    sent, seen = int(last) + 1 if last.isdecimal() else 0, dict[str, str]()
    feed.viewers += 1
    feed.is_awaited = True
    try:
        yield f"retry: {RETRY}\n\n"
        while not await request.is_disconnected():
            is_over, states, events = feed.is_over, feed.states, feed.events[sent:]
            news = [f"data: {states[kind]}\n\n" for kind in states if seen.get(kind) != states[kind]]
            news += [f"id: {number}\ndata: {event}\n\n" for number, event in enumerate(events, sent)]
            sent, seen = sent + len(events), states
            if news:
                yield "".join(news)
            if is_over:
                return
            await asyncio.sleep(INTERVAL)
    finally:
        feed.viewers -= 1


async def _body(request: Request, limit: int) -> bytes | None:
    """Return the body of a request, or None when it has more bytes than the limit."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return body


def _parse(body: bytes | None) -> Command | None:
    """Return the command in the body of a request, or None when there is none."""
    try:
        given = json.loads(body or b"")
        name, factor = given["name"], float(given.get("factor", 1))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    is_valid = name in get_args(Name) and name != "draw" and math.isfinite(factor) and 0.01 <= factor <= 100
    return (name, factor) if is_valid else None
