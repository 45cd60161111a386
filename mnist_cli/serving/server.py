"""The server: uvicorn with limits on connections and a bounded shutdown."""

import asyncio
import logging
import math
import socket
import time
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI

from mnist_cli.serving.app import Service
from mnist_cli.serving.connections import ACCEPTED, Connection, Connections

QUEUED = 4_096  # connections that the system queues until they are accepted


class Server(uvicorn.Server):
    """Serves an application that `app.build` has made."""

    def __init__(self, app: FastAPI) -> None:
        """Prepare the server; `run` and `serve` start it, and Ctrl-C or SIGTERM stops it."""
        service: Service = app.state.service
        self.limits, self.stop_workers = service.limits, service.engine.stop
        self.table = Connections(service.slots, self.limits)
        protocol: Any = partial(Connection, table=self.table)
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                log_config=None,
                log_level="error",  # without a line for each malformed request
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
            listener.listen(QUEUED)  # uvicorn's `backlog` also sets how many asyncio accepts at a time

    async def on_tick(self, counter: int) -> bool:
        """Close overdue connections; uvicorn calls it ten times a second."""
        self.table.end_overdue()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in flight, as long as the limits allow, then kill the workers and close the other connections."""
        timer = asyncio.get_running_loop().call_later(self.limits.grace_seconds, self._end)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            self.stop_workers()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Handle a signal: stop gracefully, and the second time at once."""
        super().handle_exit(sig, frame)
        if self.force_exit:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # hides that it cancels requests
            self.stop_workers()

    def _end(self) -> None:
        self.stop_workers()  # so that the requests that wait for them get a 503
        self.table.end_overdue(until=time.monotonic() + self.limits.body_seconds)


class LogLimit(logging.Filter):
    """Limits the lines a second of a log and counts the omitted ones, so that no client can make it grow without bound."""

    def __init__(self, lines: int = 20) -> None:
        """Let `lines` a second through."""
        super().__init__()
        self.lines, self.left, self.second, self.omitted = lines, lines, 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is written; the first one after omitted lines gets their number."""
        second = int(record.created)
        if second != self.second:
            self.second, self.left = second, self.lines
        if not self.left:
            self.omitted += 1
            return False
        self.left -= 1
        if self.omitted:
            record.msg, record.args = f"{record.getMessage()}  ({self.omitted:,} lines before it were omitted)", None
            self.omitted = 0
        return True
