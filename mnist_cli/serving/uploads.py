"""The pictures in the body of a request, read within limits and kept in memory only."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

MAX_FILE_BYTES = 16 * 1024**2  # of one picture
MAX_BODY_BYTES = 64 * 1024**2  # of a request with several pictures
MAX_FILES = 100  # pictures in one request
RETRY_AFTER = "1"  # seconds, a value of the header of that name
NAMELESS = "-"  # the path of a picture without a name, as on the command line

FILE_TOO_LARGE = f"the file is too large, at most {MAX_FILE_BYTES // 1024**2} MB are read"
TOO_MANY = "too many pictures are being read; try again in a second"
BODY_TOO_LARGE = f"the request is too large, at most {MAX_BODY_BYTES // 1024**2} MB are read"


def silence_form_parser() -> None:
    """Keep python-multipart from logging: an error in a form is returned to the client."""
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def busy(reason: str = TOO_MANY) -> HTTPException:
    """Return the error 503, with the time after which the client may try again."""
    return HTTPException(503, reason, {"Retry-After": RETRY_AFTER})


@dataclass(frozen=True)
class Upload:
    """A picture file in a request."""

    name: str  # as the client sent it
    body: bytes


async def read(request: Request, take: Callable[[int], None], seconds: float) -> list[Upload]:
    """Return the files of a form, or the body as the only file; `take` is called with the size of each chunk.

    Raises HTTPException when there is none, when it is too large, or when it does not arrive within `seconds`.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > _max_bytes(request):
        raise _too_large(request)
    try:
        async with asyncio.timeout(seconds):
            uploads = await (_read_form if _is_form(request) else _read_body)(request, take)
    except TimeoutError as error:
        raise HTTPException(408, f"the picture did not arrive within {seconds:g} seconds") from error
    if not uploads:
        raise HTTPException(422, "there is no file in the form; send one with `curl -F picture=@seven.png`")
    return uploads


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _max_bytes(request: Request) -> int:
    return MAX_BODY_BYTES if _is_form(request) else MAX_FILE_BYTES


def _too_large(request: Request) -> HTTPException:
    return HTTPException(413, BODY_TOO_LARGE if _is_form(request) else FILE_TOO_LARGE)


async def _bounded(request: Request, take: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    """Yield the body as it arrives; raises HTTPException when it is too long."""
    size, largest = 0, _max_bytes(request)
    async for chunk in request.stream():
        size += len(chunk)
        if size > largest:
            raise _too_large(request)
        take(len(chunk))
        yield chunk


async def _read_body(request: Request, take: Callable[[int], None]) -> list[Upload]:
    body = b"".join([chunk async for chunk in _bounded(request, take)])
    if not body:
        raise HTTPException(422, "the body is empty; send a picture with `curl --data-binary @seven.png`")
    return [Upload(NAMELESS, body)]


async def _read_form(request: Request, take: Callable[[int], None]) -> list[Upload]:
    # A form has no charset (RFC 7578); decoded with one that a client claims, names may be invalid text.
    parts = request.headers["content-type"].split(";")
    headers = Headers({"content-type": ";".join(part for part in parts if "charset" not in part.lower())})
    try:
        form = await _InMemory(headers, _bounded(request, take), max_files=MAX_FILES).parse()
    except MultiPartException as error:
        raise HTTPException(422, f"the form cannot be read: {error.message}") from error
    try:
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        return [Upload(part.filename or NAMELESS, await part.read()) for part in files]
    finally:
        await form.close()


class _InMemory(MultiPartParser):
    spool_max_size = MAX_BODY_BYTES + 1  # so that no picture is ever written to a disk
