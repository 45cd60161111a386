"""The connections of the service: limits on their number, on header size and on slow clients, and the fast path of a 503."""

import asyncio
import ipaddress
import math
import sys
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mnist_cli.serving import guard, uploads
from mnist_cli.serving.limits import Limits, SharedPool
from mnist_cli.serving.replies import refuse

ACCEPTED = 16  # connections accepted at a time; in between, open ones are served
OTHER_FILES = 64  # descriptors for other files: pipes to workers, libraries, a picture being saved
CHUNK_BYTES = 64  # least average size of the chunks of a body, where there are many
PIPELINED = 16  # requests that a client may send at once on a connection; browsers send one
PAUSE_SECONDS = float(uploads.RETRY_AFTER)
NEVER = math.inf

HEAD_TOO_LARGE = "the head of the request is too large"
TINY_CHUNKS = "the chunks of the body are too small"
TOO_MANY = "too many connections are open; try again in a second"


class Connections:
    """All open connections, by the address that they come from.

    When the limit is reached, a new connection closes another one: of the address that has the most, the one that has kept
    the service waiting the longest.
    """

    def __init__(self, slots: SharedPool, limits: Limits) -> None:
        """Allow the connections of `limits`, or fewer where the system allows fewer open files."""
        self.slots, self.limits = slots, limits
        self.most = max(1, min(limits.connections, _open_files() - ACCEPTED - OTHER_FILES))
        self._of: dict[str, set[Connection]] = {}
        self._count = 0

    def add(self, connection: "Connection") -> bool:
        """Add a connection and return True, or return False when there are too many and all of them wait for a response."""
        if self._count >= self.most and not self._end_one():
            return False
        self._of.setdefault(connection.address, set()).add(connection)
        self._count += 1
        return True

    def discard(self, connection: "Connection") -> None:
        """Remove a connection that has ended, if it is still in the table."""
        group = self._of.get(connection.address, set())
        if connection in group:
            group.remove(connection)
            self._count -= 1
        if not group:
            self._of.pop(connection.address, None)

    def end_overdue(self, until: float | None = None) -> None:
        """Close the connections whose deadline has passed, or passes before `until`."""
        now = time.monotonic() if until is None else until
        overdue = [one for group in self._of.values() for one in group if one.deadline < now]
        self._end(overdue)

    def _end_one(self) -> bool:
        busiest = max(self._of.values(), key=len)
        longest = min(busiest, key=lambda one: one.deadline)
        if longest.deadline == NEVER:
            return False
        self._end([longest])
        return True

    def _end(self, some: "Iterable[Connection]") -> None:
        for one in some:
            one.transport.abort()
            self.discard(one)


class Connection(HttpToolsProtocol):
    """A connection with a deadline for what the client has to send or receive next; there is none while it waits for a response."""

    def __init__(self, *given: Any, table: Connections, **named: Any) -> None:
        """Register in `table`; the other arguments are uvicorn's."""
        super().__init__(*given, **named)
        self.table, self.limits = table, table.limits
        self.address = ""
        self.deadline = NEVER
        self._is_in_head = True  # receiving the head of a request, or between requests
        self._head_bytes = self._head_fields = 0
        self._chunks = self._body_bytes = 0  # of the body
        self._heads = 0  # complete heads in the data received last
        self._fault = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = group_of(self.client[0] if self.client else "")
        self._expect(self.limits.head_seconds)
        if not self.table.add(self):
            self._close(503, TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.table.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head and not self._head_bytes and self.deadline < NEVER:
            self._expect(self.limits.head_seconds)
        self._head_bytes += len(data)
        self._heads = 0
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self.limits.head_bytes and not self.transport.is_closing():
            self._close(431, HEAD_TOO_LARGE)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect(self.limits.head_seconds)  # until the client receives what it is sent

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.cycle and not self.cycle.response_complete:
            self.deadline = NEVER

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_fields = 0
        self.scope["state"]["address"] = self.address

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_fields += 1
        if self._head_fields > self.limits.head_fields:
            self._fail(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head, self._chunks, self._body_bytes = False, 0, 0
        self._heads += 1
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.limits.head_bytes or self._heads > PIPELINED:
            self._fail(HEAD_TOO_LARGE)
        if self.cycle is None or self.cycle.response_complete:
            self._expect(self.limits.body_seconds)
            if self._is_refused():
                self._refuse()
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._chunks += 1
        self._body_bytes += len(body)
        if self._chunks > self.limits.chunks and self._body_bytes < CHUNK_BYTES * self._chunks:
            self._fail(TINY_CHUNKS)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_head, self._head_bytes = True, 0
        if not self.cycle.response_complete:
            self.deadline = NEVER

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:
            self._expect(self.limits.head_seconds)  # also for the rest of a body that is not read
        elif not self._is_in_head:
            self._expect(self.limits.body_seconds)

    def send_400_response(self, msg: str) -> None:
        """Respond to a malformed request; uvicorn calls it."""
        if self._fault:
            self._close(431, self._fault)
        else:
            super().send_400_response(msg)

    def _expect(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def _fail(self, reason: str) -> None:
        self._fault = reason
        raise ValueError(reason)  # stops the parser, and uvicorn calls send_400_response

    def _is_refused(self) -> bool:
        """Return whether a request gets no slot and its 503 needs no middleware, as the CORS headers of a page would."""
        return (
            self.parser.get_method() == b"POST"
            and not self.table.slots.has_room(self.address)
            and self.parser.should_keep_alive()
            and not (self.expect_100_continue or self.flow.write_paused)
            and not any(name == b"origin" for name, _ in self.headers)
        )

    def _refuse(self) -> None:
        """Respond with 503 and read nothing more until the time of Retry-After has passed.

        The connection is kept, which costs less than a new one, and the body is read and discarded.
        """
        self.transport.write(_response(503, uploads.TOO_MANY, self.server_state.default_headers))
        self.cycle = _REFUSED  # type: ignore[assignment]
        self.flow.pause_reading()
        self.loop.call_later(PAUSE_SECONDS, self.flow.resume_reading)
        self._expect(PAUSE_SECONDS + self.limits.head_seconds)

    def _close(self, status: int, reason: str) -> None:
        self._expect(self.limits.head_seconds)
        self.transport.write(_response(status, reason, [(b"connection", b"close")]))
        self.transport.close()


class _Refused:
    """Stands in for a request that was refused before its body was read."""

    response_complete = True
    message_event = asyncio.Event()


_REFUSED = _Refused()
_RESPONSES: dict[tuple[int, str], tuple[bytes, bytes]] = {}


def _response(status: int, reason: str, first: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of the HTTP/1.1 response that the application would send."""
    if (status, reason) not in _RESPONSES:
        response = refuse(status, reason, {"Retry-After": uploads.RETRY_AFTER} if status == 503 else None)
        response.headers.update(guard.HEADERS)
        _RESPONSES[status, reason] = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode(),
            _lines(response.raw_headers) + b"\r\n" + bytes(response.body),
        )
    line, rest = _RESPONSES[status, reason]
    return line + _lines(first) + rest


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)


def group_of(host: str) -> str:
    """Return the address by which clients are grouped: for IPv6 the /64 network, all of which one machine may have."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _open_files() -> float:
    """Return how many files this process may have open."""
    if sys.platform == "win32":
        return NEVER
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return NEVER if soft == resource.RLIM_INFINITY else soft
