"""Fetching the published archives from the mirrors that serve them. Standard library only, but for torchvision's list."""

import gzip
import hashlib
import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from email.message import Message
from pathlib import Path
from typing import IO

from mnist_cli import __version__, idx
from mnist_cli.errors import ConfigError, DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 10  # seconds to connect, and to wait for the next bytes
ATTEMPTS = 3  # per archive, when a mirror fails in a way that may pass
FIRST_PAUSE = 0.5  # seconds before the second attempt; doubled for each further one
LONGEST_PAUSE = 10.0  # seconds, also when the mirror asks for more with Retry-After
SLOWEST = 2_000  # bytes per second; a mirror that is slower is given up
PATIENCE = 20  # seconds before a mirror counts as slow
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}

Progress = Callable[[str, int, int], object]
"""Called with the archive's name, the bytes received and the bytes expected."""


def check(mirror: str) -> None:
    """Raise ConfigError unless `mirror` can be the address of a mirror."""
    try:
        parts = urllib.parse.urlsplit(mirror)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{mirror!r} is no address of a mirror; it looks like https://host/folder/")


class MirrorError(Exception):
    """One mirror did not deliver; the text says why."""


def known_mirrors() -> list[str]:
    """Return torchvision's https mirrors, where it can be imported, then ours."""
    try:
        from torchvision.datasets import MNIST
    # A torchvision that does not fit the installed torch fails to import in many ways: RuntimeError, AttributeError,
    # OSError. It is asked only for its list, so none of them matters here.
    except Exception:  # noqa: BLE001
        return list(MIRRORS)
    theirs = [mirror for mirror in MNIST.mirrors if mirror.startswith("https://")]
    return list(dict.fromkeys([*theirs, *MIRRORS]))


def download(
    files: Sequence[idx.IdxFile], data_dir: Path, mirrors: Sequence[str], progress: Progress
) -> tuple[list[idx.IdxFile], dict[str, str]]:
    """Fetch, verify and install `files`, going on to the next mirror at the first failure of one.

    Returns the files that no mirror delivered, and why each mirror that failed did.
    """
    missing = list(files)
    failures: dict[str, str] = {}
    for mirror in mirrors:
        try:
            while missing:
                archive = fetch(mirror, missing[0], progress)
                _install(archive, missing[0], data_dir, mirror)
                missing.pop(0)
        except MirrorError as error:
            failures[mirror] = str(error)
    return missing, failures


def fetch(mirror: str, file: idx.IdxFile, progress: Progress) -> bytes:
    """Return the archive of `file` as `mirror` serves it, its MD5 verified.

    Raises MirrorError when that fails for good or `ATTEMPTS` times.
    """
    url = f"{mirror.rstrip('/')}/{file.name}.gz"
    pause = FIRST_PAUSE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch_once(url, file, progress)
        except _TransientError as error:
            if attempt == ATTEMPTS:
                raise MirrorError(f"{error} ({ATTEMPTS} attempts)") from error
            time.sleep(min(max(pause, error.retry_after), LONGEST_PAUSE))
            pause *= 2
    raise AssertionError("unreachable")


class _TransientError(MirrorError):
    """A failure that may be gone at the next attempt."""

    def __init__(self, reason: str, retry_after: float = 0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class _StaySecure(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but never from https to anything less."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.startswith("https://"):
            raise MirrorError(f"redirects from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _fetch_once(url: str, file: idx.IdxFile, progress: Progress) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": f"mnist-cli/{__version__}"})
    try:
        with urllib.request.build_opener(_StaySecure).open(request, timeout=TIMEOUT) as response:
            archive = _receive(response, file, progress)
    except urllib.error.HTTPError as error:
        reason = f"answers {error.code} {error.reason} for {file.name}.gz"
        if error.code in TRANSIENT:
            raise _TransientError(reason, _seconds(error.headers.get("Retry-After"))) from error
        raise MirrorError(reason) from error
    except TimeoutError as error:
        raise _TransientError(f"sends nothing for {TIMEOUT} s") from error
    except urllib.error.URLError as error:
        raise _TransientError(f"cannot be reached: {error.reason}") from error
    except (ValueError, http.client.InvalidURL) as error:  # UnicodeError among them
        raise MirrorError(f"is no address: {error}") from error
    except (http.client.HTTPException, OSError) as error:
        raise _TransientError(f"broke off: {error or type(error).__name__}") from error
    found = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    if found != file.archive_md5:
        raise MirrorError(f"sends a {file.name}.gz with MD5 {found[:12]}…, expected {file.archive_md5[:12]}…")
    return archive


def _receive(response: http.client.HTTPResponse, file: idx.IdxFile, progress: Progress) -> bytes:
    """Read the body, never more than the published archive has, and give up on a trickle."""
    start = time.monotonic()
    archive = bytearray()
    while chunk := response.read1(1 << 16):
        archive += chunk
        progress(file.name, len(archive), file.archive_size)
        if len(archive) > file.archive_size:
            raise MirrorError(f"sends more than the {file.archive_size:,} bytes of {file.name}.gz")
        seconds = time.monotonic() - start
        if seconds > PATIENCE and len(archive) < SLOWEST * seconds:
            raise MirrorError(f"sends only {len(archive) / seconds:,.0f} bytes a second")
    if len(archive) < file.archive_size:
        raise _TransientError(f"sends {len(archive):,} of the {file.archive_size:,} bytes of {file.name}.gz")
    return bytes(archive)


def _install(archive: bytes, file: idx.IdxFile, data_dir: Path, mirror: str) -> None:
    """Unpack a verified archive and put its verified content in place."""
    try:
        idx.install(gzip.decompress(archive), file, data_dir, source=f"{file.name}.gz of {mirror}")
    except (OSError, EOFError, DataError) as error:
        raise MirrorError(str(error)) from error


def _seconds(retry_after: str | None) -> float:
    """Read a Retry-After header given in seconds; a date counts as no wish."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
