"""The pictures in the body of a request, read within limits and kept in memory only."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

MAX_FILE_BYTES = 16 * 1024**2  # of one picture
MAX_BODY_BYTES = 64 * 1024**2  # of a request with several pictures
MAX_FILES = 100  # pictures in one request
RETRY_AFTER = "1"  # seconds, a value of the header of that name
TIMEOUT = 30  # seconds, in which the body has to arrive
NAMELESS = "-"  # the path of a picture without a name, as on the command line

FILE_TOO_LARGE = f"the file is too large, at most {MAX_FILE_BYTES // 1024**2} MB are read"
TOO_MANY = "too many pictures are being read; try again in a second"
BODY_TOO_LARGE = f"the request is too large, at most {MAX_BODY_BYTES // 1024**2} MB are read"


def silence_form_parser() -> None:
    """Keep python-multipart from logging: an error in a form is returned to its sender."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def busy(reason: str = TOO_MANY) -> HTTPException:
    """Return the error 503, with the time after which the sender may try again."""
    return HTTPException(503, reason, {"Retry-After": RETRY_AFTER})


@dataclass(frozen=True)
class Upload:
    """A picture file in a request."""

    name: str  # as the sender names it
    body: bytes


class Room:
    """Limits on the requests that are answered at once and on the memory of their bodies."""

    def __init__(self, requests: int, memory: int) -> None:
        """Allow `requests` at once, whose bodies have at most `memory` bytes together."""
        self.requests, self.memory = requests, memory

    @contextmanager
    def place(self, size: int) -> Iterator[None]:
        """Reserve memory for a request while the block runs; raises HTTPException 503 when a limit is reached."""
        if self.requests < 1 or self.memory < size:
            raise busy()
        self.requests -= 1
        self.memory -= size
        try:
            yield
        finally:
            self.requests += 1
            self.memory += size


def size_of(request: Request) -> int:
    """Return the size of the body to expect, in bytes; raises HTTPException 413 when it is too large."""
    is_form, announced = _is_form(request), request.headers.get("content-length", "")
    largest = MAX_BODY_BYTES if is_form else MAX_FILE_BYTES
    size = int(announced) if announced.isdecimal() else largest
    if size > largest:
        raise _too_large(is_form)
    return size


async def read(request: Request) -> list[Upload]:
    """Return the files of a form, or the body as the only file.

    Raises HTTPException when there is none, when it is too large, or when it does not arrive in time.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            uploads = await (_read_form if _is_form(request) else _read_body)(request)
    except TimeoutError as error:
        raise HTTPException(408, f"the picture did not arrive within {TIMEOUT} seconds") from error
    if not uploads:
        raise HTTPException(422, "there is no file in the form; send one with `curl -F picture=@seven.png`")
    return uploads


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _too_large(is_form: bool) -> HTTPException:
    return HTTPException(413, BODY_TOO_LARGE if is_form else FILE_TOO_LARGE)


async def _bounded(request: Request, largest: int) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives; raises HTTPException when it is longer than `largest` bytes."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise _too_large(_is_form(request))
        yield chunk


async def _read_body(request: Request) -> list[Upload]:
    body = b"".join([chunk async for chunk in _bounded(request, MAX_FILE_BYTES)])
    if not body:
        raise HTTPException(422, "the body is empty; send a picture with `curl --data-binary @seven.png`")
    return [Upload(NAMELESS, body)]


async def _read_form(request: Request) -> list[Upload]:
    # A form has no charset (RFC 7578); decoded with one that a sender claims, names may be no valid text.
    parts = request.headers["content-type"].split(";")
    headers = Headers({"content-type": ";".join(part for part in parts if "charset" not in part.lower())})
    try:
        form = await _InMemory(headers, _bounded(request, MAX_BODY_BYTES), max_files=MAX_FILES).parse()
    except MultiPartException as error:
        raise HTTPException(422, f"the form cannot be read: {error.message}") from error
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        return [Upload(part.filename or NAMELESS, await part.read()) for part in files]
    finally:
        await form.close()


class _InMemory(MultiPartParser):
    spool_max_size = MAX_BODY_BYTES + 1  # so that no picture is ever written to a disk
