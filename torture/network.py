"""A hostile mirror on loopback, with many kinds of faults."""

import gzip
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from mnist_cli.datasets import mirrors, mnist_files
from torture import Outcomes, spread

TIMEOUT = 1.0  # seconds, instead of the 10 of `mirrors.TIMEOUT_SECONDS`
GRACE = 2.0  # seconds, instead of the 20 of `mirrors.GRACE_SECONDS`
SLOW_CHUNK, SLOW_PAUSE = 100_000, 0.01  # bytes, and seconds between them


class Server(ThreadingHTTPServer):
    """Responds to every request by calling `answer`."""

    daemon_threads = True

    def __init__(self, answer: "Callable[[Handler], object]") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.ranges: list[str | None] = []
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/"
        self.body = b""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may disconnect."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers["Range"])
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    @property
    def start(self) -> int:
        """The first byte of the requested range."""
        return int((self.headers["Range"] or "bytes=0-")[6:-1])

    def send(self, body: bytes, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def send_chunked(self, chunks: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)

    def wait(self) -> None:
        self.server.closing.wait(30)

    def drip(self, content: bytes) -> None:
        """Send a byte every tenth of TIMEOUT."""
        for place in range(len(content)):
            if self.server.closing.wait(TIMEOUT / 10):
                return
            self.wfile.write(content[place : place + 1])


def ranged(request: Handler, body: bytes, start: int, claimed: int | None = None) -> None:
    """Respond with the rest of `body`, with a Content-Range that begins at `claimed`."""
    claimed = start if claimed is None else claimed
    request.send(body[start:], 206, Content_Range=f"bytes {claimed}-{len(body) - 1}/{len(body)}")


def serve_slowly(request: Handler) -> None:
    """Serve the archives as a slow but correct mirror does."""
    body = ARCHIVES[request.path.strip("/").removesuffix(".gz")]
    start = request.start
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    request.send_header("Content-Length", str(len(body) - start))
    request.end_headers()
    for place in range(start, len(body), SLOW_CHUNK):
        request.wfile.write(body[place : place + SLOW_CHUNK])
        time.sleep(SLOW_PAUSE)


ARCHIVES: dict[str, bytes] = {}


def archives(folder: Path) -> list[mnist_files.IdxFile]:
    """Pack the two val files, and return them with the sizes and checksums of these archives."""
    files = []
    for file in (mnist_files.VAL_IMAGES, mnist_files.VAL_LABELS):
        mnist_files.install_bundled(file, folder / "source")
        body = ARCHIVES[file.name] = gzip.compress(mnist_files.read(folder / "source", file), 1)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        files.append(replace(file, archive_size=len(body), archive_md5=md5))
    return files


def reset(request: Handler) -> None:
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.connection.close()


def hang_in_the_body(request: Handler) -> None:
    request.send(request.server.body[:1000], Content_Length=len(request.server.body))
    request.wait()


def break_off(request: Handler) -> None:
    request.send(request.server.body[:1000], Content_Length=len(request.server.body))
    reset(request)


def go_on_for_ever(request: Handler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not request.server.closing.is_set():  # until the client leaves, which raises here
        request.wfile.write(bytes(1 << 16))


def redirect_for_ever(request: Handler) -> None:
    request.send(b"", 302, Location=request.path, Content_Length=None)
    while not request.server.closing.is_set():
        request.wfile.write(bytes(1 << 20))


FAULTS: dict[str, Callable[[Handler], object]] = {
    "reset": reset,
    "hanging before the headers": Handler.wait,
    "hanging after the headers": hang_in_the_body,
    "breaking off": break_off,
    "a byte a second of the headers": lambda request: request.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000),
    "a byte a second of the body": lambda request: (
        request.send(b"", Content_Length=10_000),
        request.drip(bytes(9_999)),
    ),
    "headers without an end": lambda request: request.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000),
    "no HTTP": lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "nothing": lambda request: request.send(b""),
    "a short body": lambda request: request.send(request.server.body[:500]),
    "a long body": lambda request: request.send(request.server.body * 3),
    "a body without an end": go_on_for_ever,
    "too large a Content-Length": lambda request: request.send(request.server.body, Content_Length=10**12),
    "too small a Content-Length": lambda request: request.send(request.server.body, Content_Length=10),
    "no number as Content-Length": lambda request: request.send(request.server.body, Content_Length="x"),
    "broken chunks": lambda request: request.send(b"zz\r\n", Content_Length=None, Transfer_Encoding="chunked"),
    "a byte a second of a chunk's extensions": lambda request: (
        request.send_chunked(b"5;"),
        request.drip(b"x" * 10_000),
    ),
    "a byte a second of trailers": lambda request: (
        request.send_chunked(b"5\r\nshort\r\n0\r\nX: "),
        request.drip(b"x" * 10_000),
    ),
    "a byte a second behind the archive": lambda request: (
        request.send_chunked(b"%x\r\n%s\r\n0\r\nX: " % (len(request.server.body), request.server.body)),
        request.drip(b"x" * 10_000),
    ),
    "gzip bomb": lambda request: request.send(gzip.compress(bytes(1 << 26)), Content_Encoding="gzip"),
    "redirect loop": lambda request: request.send(b"", 302, Location=request.path),
    "redirect to a file": lambda request: request.send(b"", 302, Location="file:///etc/passwd"),
    "redirect to ftp": lambda request: request.send(b"", 301, Location="ftp://127.0.0.1/x"),
    "redirect with a body without an end": redirect_for_ever,
    "redirect to nowhere": lambda request: request.send(b"", 302, Location="http://127.0.0.1:9/"),
    "redirect to nonsense": lambda request: request.send(b"", 302, Location="http://[::bad"),
    "captive portal": lambda request: request.send(b"<html>Log in</html>", Content_Type="text/html"),
    "403": lambda request: request.send(b"", 403),
    "404": lambda request: request.send(b"", 404),
    "416": lambda request: request.send(b"", 416),
    "429 with Retry-After": lambda request: request.send(b"", 429, Retry_After=1),
    "429 for a day": lambda request: request.send(b"", 429, Retry_After=86_400),
    "429 for nonsense": lambda request: request.send(b"", 429, Retry_After="-1e999"),
    "500": lambda request: request.send(b"", 500),
    "503": lambda request: request.send(b"", 503),
    "999": lambda request: request.send(b"", 999),
    "other bytes of the right length": lambda request: request.send(bytes(len(request.server.body))),
    "Range ignored": lambda request: request.send(request.server.body),
    "Range with a wrong beginning": lambda request: ranged(request, request.server.body, 7 if request.start else 0),
    "Range with a false beginning": lambda request: ranged(
        request, request.server.body, request.start // 2, request.start
    ),
    "Range with other bytes": lambda request: ranged(request, bytes(len(request.server.body)), request.start),
    "a correct Range": lambda request: ranged(request, request.server.body, request.start),
}
WORKING = {
    "a byte a second behind the archive",
    "Range ignored",
    "a correct Range",
    "too large a Content-Length",
    "Range with a wrong beginning",
    "no number as Content-Length",
}


def hostile(count: int, seed: int, folder: Path) -> Outcomes:
    """Download from mirrors with each of FAULTS, from nothing and from half an archive: it ends in time."""
    shortened = {
        "TIMEOUT_SECONDS": TIMEOUT,
        "GRACE_SECONDS": GRACE,
        "FIRST_PAUSE_SECONDS": 0.01,
        "MAX_PAUSE_SECONDS": 1.0,
    }
    before = {name: getattr(mirrors, name) for name in shortened}
    vars(mirrors).update(shortened)
    longest = mirrors.ATTEMPTS * (GRACE + TIMEOUT + 1) + 5
    file = archives(folder)[1]
    try:
        trials = [(name, half) for name in FAULTS for half in (False, True)]
        for number, (name, half) in spread(trials, count):
            target = folder / f"data-{number}"
            part = mnist_files.part_path(target, file)
            part.parent.mkdir(parents=True)
            if half:
                part.write_bytes(ARCHIVES[file.name][:1000])
            begin = time.monotonic()
            with Server(FAULTS[name]) as server:
                server.body = ARCHIVES[file.name]
                missing, failures = mirrors.download([file], target, [server.url], lambda *_: None)
            seconds = time.monotonic() - begin
            there = not mnist_files.find_faults(target, [file])
            fault = None
            if seconds > longest:
                fault = f"it took {seconds:.0f} s"
            elif there == bool(missing) or bool(missing) != bool(failures):
                fault = f"missing {missing}, failures {failures}, there {there}"
            elif name in WORKING and missing:
                fault = f"nothing was delivered: {failures}"
            elif any("\n" in why for why in failures.values()):
                fault = f"its sentence is {failures}"
            yield fault and f"{name}, {'half' if half else 'nothing'} there: {fault}"
    finally:
        vars(mirrors).update(before)
