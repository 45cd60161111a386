"""Middleware for every request: allowed hosts and origins, security headers of the response, and a line in the log."""

import logging
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mnist_cli.serving.replies import refuse

log = logging.getLogger(__name__)

ANY = "*"
MAX_PATH = 200  # characters of a path in the log
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """Refuses requests from pages of other origins, adds security headers to responses, and logs a line a request."""

    def __init__(self, app: ASGIApp, origins: Sequence[str], only_local: bool, option: bool = True) -> None:
        """Allow requests from pages of `origins`.

        A service for this machine alone (`only_local`) refuses every other host name (DNS rebinding). Not by Starlette's
        TrustedHostMiddleware, whose refusal is plain text, where clients expect JSON, and does not name the option that
        allows the host; not every service has that `option`.
        """
        self.option = option
        self.app, self.origins = app, frozenset(origins)
        self.hosts = LOOPBACK | {urlsplit(origin).hostname for origin in origins} if only_local else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *RAW_HEADERS]  # of which no response has one of its own
            await send(message)

        reason = self._refusal(Headers(scope=scope))
        try:
            await (refuse(403, reason) if reason else self.app)(scope, receive, send_guarded)
        finally:
            path = scope["raw_path"][:MAX_PATH].decode("ascii", "backslashreplace")
            log.info("%s %s  %d  %.0f ms", scope["method"], path, status, 1000 * (time.perf_counter() - start))

    def _refusal(self, headers: Headers) -> str | None:
        """Return why a request is refused, or None."""
        if ANY in self.origins:
            return None
        origin = headers.get("origin")
        try:
            host, page = urlsplit(f"//{headers.get('host', 'localhost')}"), urlsplit(origin or "")
        except ValueError:
            return "the request has an invalid Host or Origin header"
        if self.hosts is not None and host.hostname not in self.hosts:
            return f"the host name {host.hostname} is not allowed" + self._advice("http://NAME", "one")
        if origin is not None and origin not in self.origins and page.netloc != host.netloc:
            return f"requests from pages of {origin} are not allowed" + self._advice(origin, "them")
        return None

    def _advice(self, origin: str, what: str) -> str:
        return f"; `mnist serve --allow-origin {origin}` allows {what}" if self.option else ""
