"""Downloading the published archives from mirrors. Standard library only, but for torchvision's list of mirrors."""

import gzip
import hashlib
import http.client
import os
import queue
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from textwrap import shorten
from typing import IO, BinaryIO

from mnist_cli.datasets import mnist_files
from mnist_cli.errors import ConfigError, DataError
from mnist_cli.files import lock
from mnist_cli.version import __version__

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT_SECONDS = 10  # to connect, and to wait for the next bytes
ATTEMPTS = 3  # per archive, after transient errors
FIRST_PAUSE_SECONDS = 0.5  # before the second attempt; doubled for each further one
MAX_PAUSE_SECONDS = 10.0  # also when a Retry-After header is larger
MIN_BYTES_PER_SECOND = 10_000  # from a slower mirror the download is aborted
GRACE_SECONDS = 20  # before a mirror counts as slow, and in which its response has to begin
MAX_REASON_CHARACTERS = 300
MAX_ARCHIVE_BYTES = 700_000_000  # of an archive whose size is not known; that of EMNIST has 562,000,000
TRANSIENT = {408, 416, 425, 429, 500, 502, 503, 504}  # HTTP statuses after which another attempt may succeed

Progress = Callable[[str, int, int], object]
"""Takes the name of the archive, the bytes received and the bytes expected."""


@dataclass(frozen=True)
class Archive:
    """A published file, packed."""

    name: str
    md5: str
    size: int | None = None  # bytes, if that is known before it is requested

    @property
    def title(self) -> str:
        """Its name without the suffix of a packed file."""
        return self.name.removesuffix(".gz")


def check(mirror: str) -> None:
    """Raise ConfigError unless `mirror` is a valid http or https URL."""
    try:
        parts = urllib.parse.urlsplit(mirror)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{mirror!r} is not the URL of a mirror, such as https://host/folder/")


class MirrorError(Exception):
    """The download from one mirror failed; the message is the reason."""


def known_mirrors() -> list[str]:
    """Return torchvision's https mirrors, where it can be imported, then MIRRORS."""
    try:
        from torchvision.datasets import MNIST
    # A torchvision that is incompatible with the installed torch raises RuntimeError, AttributeError, OSError and others.
    # Only its list is needed, so they are ignored.
    except Exception:  # noqa: BLE001
        return list(MIRRORS)
    of_torchvision = [mirror for mirror in MNIST.mirrors if mirror.startswith("https://")]
    return list(dict.fromkeys([*of_torchvision, *MIRRORS]))


def download(
    files: Sequence[mnist_files.IdxFile], data_dir: Path, mirrors: Sequence[str], progress: Progress
) -> tuple[list[mnist_files.IdxFile], dict[str, str]]:
    """Download, verify and install `files`, switching to the next mirror at the first failure of one.

    Returns the files that no mirror delivered, and for each mirror that failed the reason.
    """
    missing = list(files)
    failures: dict[str, str] = {}
    for mirror in mirrors:
        try:
            while missing:
                archive = Archive(f"{missing[0].name}.gz", missing[0].archive_md5, missing[0].archive_size)
                with open_part(mnist_files.part_path(data_dir, missing[0])) as part:
                    fetch(mirror, archive, part, progress)
                    _install(part, missing[0], data_dir, mirror)
                missing.pop(0)
        except MirrorError as error:
            failures[mirror] = shorten(str(error), MAX_REASON_CHARACTERS)  # the text of a server may be long
    return missing, failures


@contextmanager
def open_part(path: Path) -> Iterator[BinaryIO]:
    """Open the partial download of an archive, a file with the suffix .part, to append to; it is kept until the file is installed.

    While another process appends to it, open a temporary file instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "a+b") as part:
            if lock(part.fileno()):
                yield part
            else:
                with tempfile.TemporaryFile("a+b", dir=path.parent) as own:
                    yield own
    finally:
        if path.exists() and path.stat().st_size == 0:
            path.unlink(missing_ok=True)


def fetch(mirror: str, archive: Archive, part: BinaryIO, progress: Progress) -> None:
    """Complete `part`, the content of `archive`, from `mirror` and verify its MD5.

    Raises MirrorError after an error that is not transient, or after `ATTEMPTS` transient ones.
    """
    url = f"{mirror.rstrip('/')}/{archive.name}"
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_once(url, archive, part, progress)
            return
        except _TransientError as error:
            if attempt == ATTEMPTS:
                raise MirrorError(f"{error} ({ATTEMPTS} attempts)") from error
            time.sleep(min(max(pause, error.retry_after), MAX_PAUSE_SECONDS))
            pause *= 2


class _TransientError(MirrorError):
    """A failure after which another attempt may succeed."""

    def __init__(self, reason: str, retry_after: float = 0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from https to http, nor to FTP."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("https://",) if req.type == "https" else ("https://", "http://")):
            raise MirrorError(f"redirects from {req.type} to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> http.client.HTTPResponse | None:
        """Follow a redirect without reading its body, which may have no end."""
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _fetch_once(url: str, archive: Archive, part: BinaryIO, progress: Progress) -> None:
    """Request the missing rest of `part` and verify the archive; discard it if the checksum is wrong."""
    start = part.seek(0, os.SEEK_END)
    is_complete = start == archive.size if archive.size else start > 0 and _md5(part) == archive.md5
    if not is_complete:
        start = _resume(url, archive, part, progress)
    if (found := _md5(part)) != archive.md5:
        part.truncate(0)
        # The error may be in bytes from an earlier attempt, so another one without them may succeed.
        failure = _TransientError if start else MirrorError
        raise failure(f"sends a {archive.name} with MD5 {found[:12]}…, expected {archive.md5[:12]}…")


def _md5(part: BinaryIO) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    part.seek(0)
    while chunk := part.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _resume(url: str, archive: Archive, part: BinaryIO, progress: Progress) -> int:
    """Append the missing rest to `part`, and return how many of its earlier bytes were kept."""
    start = part.seek(0, os.SEEK_END)
    headers = {"User-Agent": f"mnist-cli/{__version__}", **({"Range": f"bytes={start}-"} if start else {})}
    body = _Body(urllib.request.Request(url, headers=headers), archive.size or MAX_ARCHIVE_BYTES)
    try:
        response = body.begin()
        if response.status != http.client.PARTIAL_CONTENT:  # the whole archive: many servers ignore Range
            part.truncate(start := 0)
        elif start and not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            part.truncate(0)
            raise _TransientError(f"sends another range of {archive.name} than requested")
        size = archive.size or start + _announced_size(response, archive)
        _receive(body, archive, size, part, progress)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"responds with {error.code} {error.reason} for {archive.name}"
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.truncate(0)
        if error.code in TRANSIENT:
            raise _TransientError(reason, _seconds(error.headers.get("Retry-After"))) from error
        raise MirrorError(reason) from error
    finally:
        body.close()
    return start


class _Body:
    """The body of a response, read in a thread so that each wait for it can have a deadline.

    The timeout of a socket applies to a single read of it, and http.client may read for hours when a server sends a byte
    every second: in the headers, in the extensions of a chunk, or in the trailers. Such a thread ends with the program.
    """

    def __init__(self, request: urllib.request.Request, max_bytes: int) -> None:
        """Send the request, and read at most one chunk more than `max_bytes`."""
        self._received: queue.SimpleQueue[http.client.HTTPResponse | bytes | Exception] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        threading.Thread(target=self._read, args=[request, max_bytes], daemon=True).start()

    def _read(self, request: urllib.request.Request, max_bytes: int) -> None:
        try:
            with urllib.request.build_opener(SecureRedirects).open(request, timeout=TIMEOUT_SECONDS) as response:
                self._received.put(response)
                while max_bytes >= 0 and not self._is_closed.is_set() and (chunk := response.read1(1 << 16)):
                    self._received.put(chunk)
                    max_bytes -= len(chunk)
            self._received.put(b"")
        except Exception as error:  # noqa: BLE001  (raised by `_next`)
            self._received.put(error)

    def begin(self) -> http.client.HTTPResponse:
        """Return the response when its headers are read."""
        try:
            response = self._next(GRACE_SECONDS)
        except queue.Empty:
            raise MirrorError(f"does not respond within {GRACE_SECONDS} s") from None
        assert isinstance(response, http.client.HTTPResponse)
        return response

    def read(self, seconds: float) -> bytes:
        """Return the next bytes, none at the end; raises queue.Empty when they do not arrive in time."""
        chunk = self._next(seconds)
        assert isinstance(chunk, bytes)
        return chunk

    def close(self) -> None:
        """Stop reading."""
        self._is_closed.set()

    def _next(self, seconds: float) -> http.client.HTTPResponse | bytes:
        """Return what the thread received next, or raise its exception as MirrorError or _TransientError."""
        received = self._received.get(timeout=max(seconds, 0))
        try:
            if isinstance(received, Exception):
                raise received
        except (MirrorError, urllib.error.HTTPError):
            raise
        except TimeoutError as error:
            raise _TransientError(f"sends nothing for {TIMEOUT_SECONDS} s") from error
        except urllib.error.URLError as error:
            raise _TransientError(f"cannot be reached: {error.reason}") from error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, http.client.InvalidURL):
                raise MirrorError(f"is not a valid URL: {error}") from error
            raise _TransientError(f"interrupted the transfer: {error or type(error).__name__}") from error
        except ValueError as error:  # UnicodeError among them
            raise MirrorError(f"is not a valid URL: {error}") from error
        return received


def _announced_size(response: http.client.HTTPResponse, archive: Archive) -> int:
    """Return how many bytes a response will have; raises MirrorError when it does not say so, or they are too many."""
    announced = response.headers.get("Content-Length") or ""
    if not announced.isdecimal() or int(announced) > MAX_ARCHIVE_BYTES:
        raise MirrorError(f"does not say how many bytes {archive.name} has, or more than {MAX_ARCHIVE_BYTES:,}")
    return int(announced)


def _receive(body: _Body, archive: Archive, expected: int, part: BinaryIO, progress: Progress) -> None:
    """Append the body to `part`, up to the last byte of the archive; raises MirrorError when it arrives too slowly."""
    begin, before = time.monotonic(), part.seek(0, os.SEEK_END)
    size = before
    while size < expected:
        # The deadline by which the next bytes keep the average speed at MIN_BYTES_PER_SECOND.
        deadline = begin + max(GRACE_SECONDS, (size - before) / MIN_BYTES_PER_SECOND)
        try:
            chunk = body.read(deadline - time.monotonic())
        except queue.Empty:
            speed = (size - before) / (time.monotonic() - begin)
            raise MirrorError(f"sends only {speed:,.0f} bytes a second") from None
        if not chunk:
            raise _TransientError(f"sends {size:,} of the {expected:,} bytes of {archive.name}")
        size += len(chunk)
        if size > expected:
            part.truncate(0)
            raise MirrorError(f"sends more than the {expected:,} bytes of {archive.name}")
        part.write(chunk)
        part.flush()
        progress(archive.title, size, expected)


def _install(part: BinaryIO, file: mnist_files.IdxFile, data_dir: Path, mirror: str) -> None:
    """Unpack a verified archive and install its verified content."""
    part.seek(0)
    try:
        with gzip.open(part) as archive:
            content = archive.read(file.size + 1)
        mnist_files.install(content, file, data_dir, source=f"{file.name}.gz of {mirror}")
    except (gzip.BadGzipFile, EOFError, zlib.error, DataError) as error:
        raise MirrorError(str(error)) from error


def _seconds(retry_after: str | None) -> float:
    """Return the seconds in a Retry-After header, 0 when it is missing or a date."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
