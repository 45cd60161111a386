"""The server: uvicorn with limits on connections, and an end that does not wait for ever."""

import asyncio
import logging
import math
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from mnist_cli.serving.connections import ACCEPTED, Connection, Connections
from mnist_cli.serving.limits import Limits

QUEUED = 4_096  # connections that wait in the system to be accepted


class Server(uvicorn.Server):
    """Serves an application that `app.build` has made."""

    def __init__(self, app: FastAPI) -> None:
        """Prepare to serve; `run` and `serve` do, and Ctrl-C or SIGTERM ends them."""
        self.limits: Limits = app.state.limits
        self.stop_workers: Callable[[], None] = app.state.engine.stop
        self.table = Connections(app.state.places, self.limits)
        protocol: Any = partial(Connection, table=self.table)
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                log_config=None,
                log_level="error",  # what strangers send that is no HTTP is not worth a line
                ws="none",
                access_log=False,
                server_header=False,
                backlog=ACCEPTED,
                timeout_graceful_shutdown=math.ceil(self.limits.grace_seconds) + 1,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUED)  # where uvicorn has as many as asyncio accepts at a time

    async def on_tick(self, counter: int) -> bool:
        """End what is overdue; uvicorn calls it ten times a second."""
        self.table.end_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way, as long as the limits allow, then end the workers and whoever is still sending."""
        timer = asyncio.get_running_loop().call_later(self.limits.grace_seconds, self._end)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            self.stop_workers()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop, and the second time at once; a signal calls it."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # that it cancels what is under way
            self.stop_workers()

    def _end(self) -> None:
        self.stop_workers()  # so that those who wait for them are answered, with a 503
        self.table.end_overdue(until=time.monotonic() + self.limits.body_seconds)


class LogLimit(logging.Filter):
    """Lets a number of lines a second into a log and counts the others, so that no client can make it grow."""

    def __init__(self, lines: int = 20) -> None:
        """Let `lines` a second through."""
        super().__init__()
        self.lines, self.left, self.second, self.left_out = lines, lines, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; the first after others that were not says how many."""
        second = int(record.created)
        if second != self.second:
            self.second, self.left = second, self.lines
        if not self.left:
            self.left_out += 1
            return False
        self.left -= 1
        if self.left_out:
            record.msg, record.args = f"{record.getMessage()}  ({self.left_out:,} lines before it are left out)", None
            self.left_out = 0
        return True
