"""Hostile clients of the service, each with one kind of misbehaviour."""

import asyncio
import io
import os
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw

AGAIN = 1.0  # seconds before an ended connection is opened again, since client and service share the cores
PAUSE = 0.1  # seconds after a 503
LARGE = 16 * 1024**2  # bytes, the largest picture that is read
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Client:
    """A client that repeats the same misbehaviour on a number of connections."""

    name: str
    connections: int
    misbehave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]

    async def run(self, port: int, address: str) -> None:
        """Go on until cancelled."""
        await asyncio.gather(*(self._go_on(port, address) for _ in range(self.connections)))

    async def _go_on(self, port: int, address: str) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
                try:
                    await self.misbehave(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(AGAIN)


def post(body: bytes, query: str = "", kind: str = "image/png", size: int | None = None) -> bytes:
    """Return a request with a picture; its Content-Length is the size of the body, or `size`."""
    size = len(body) if size is None else size
    head = f"POST /api/predict{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + body


async def response(reader: asyncio.StreamReader) -> int:
    """Read a response and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
    return int(head[9:12])


async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    """Send a request again and again, each time after the response to the last one."""
    while True:
        writer.write(request)
        await writer.drain()
        if await response(reader) == 503:
            await asyncio.sleep(PAUSE)


async def drip(writer: asyncio.StreamWriter, content: bytes) -> None:
    """Send a byte a second."""
    for place in range(len(content)):
        writer.write(content[place : place + 1])
        await writer.drain()
        await asyncio.sleep(1)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await drip(writer, GET[:-2] + b"X: y\r\n" * 1_000)


async def endless_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET[:-2])
    while True:
        writer.write(b"X: y\r\n" * 1_000)
        await writer.drain()


async def endless_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET[:-2] + b"X: ")
    while True:
        writer.write(b"y" * 65_536)
        await writer.drain()


async def nearly_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET[:-2] + b"X: " + b"y" * 60_000)
    await reader.read()


async def announced(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(post(b"", kind="multipart/form-data; boundary=b", size=4 * LARGE))
    await reader.read()


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(post(b"", size=LARGE))
    await drip(writer, digit())


async def held_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(post(bytes(LARGE - 1), size=LARGE))
    await reader.read()


async def tiny_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nx\r\n" * 5_000)
        await writer.drain()


async def unread_responses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    while True:
        writer.write(GET.replace(b"healthz", b"openapi.json") * 4)
        await writer.drain()
        await asyncio.sleep(PAUSE)


async def pipelined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET * 5_000)
    await reader.read()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01\x02\x00" + random.randbytes(500))
    await reader.read()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GET[:20])


async def errors(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await repeat(reader, writer, b"GET /" + os.urandom(8).hex().encode() * 500 + GET[12:])


async def pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await repeat(reader, writer, post(blocks(), "?many=true"))


async def slow_jpegs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await repeat(reader, writer, post(scans(), kind="image/jpeg"))


async def large_pictures(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await repeat(reader, writer, post(blank()))


async def specks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await repeat(reader, writer, post(squares()))


async def forms(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n'
    await repeat(
        reader, writer, post((part + digit() + b"\r\n") * 100 + b"--b--\r\n", kind="multipart/form-data; boundary=b")
    )


async def boundaries(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\n' + b"\r\n--\r\n-" * 2_000_000
    await repeat(reader, writer, post(part + b"\r\n--b--\r\n", kind="multipart/form-data; boundary=b"))


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await repeat(reader, writer, post(digit()))


CLIENTS = [
    Client("silent connections", 1_200, silent),
    Client("heads that drip", 300, slow_head),
    Client("heads without an end", 10, endless_head),
    Client("a header without an end", 10, endless_header),
    Client("heads of 60 KB that stop", 1_000, nearly_a_head),
    Client("bodies that are announced and not sent", 100, announced),
    Client("bodies that drip", 300, slow_body),
    Client("bodies that stop at their last byte", 40, held_body),
    Client("bodies in chunks of a byte", 20, tiny_chunks),
    Client("responses that are not read", 100, unread_responses),
    Client("5,000 requests at once", 10, pipelined),
    Client("no HTTP", 50, no_http),
    Client("connections that are reset", 50, resets),
    Client("long paths that do not exist", 50, errors),
    Client("pages of 513 blocks", 10, pages),
    Client("JPEGs of thousands of scans", 32, slow_jpegs),
    Client("pictures of 40 megapixels", 32, large_pictures),
    Client("small pictures of 5,000 specks", 32, specks),
    Client("forms of 100 pictures", 32, forms),
    Client("forms of things like boundaries", 8, boundaries),
    Client("a flood of pictures", 320, flood),
]


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


@cache
def digit() -> bytes:
    """Return a seven on 280x280 px as a PNG file."""
    picture = Image.new("L", (280, 280), 255)
    ImageDraw.Draw(picture).line([(80, 70), (190, 70), (120, 220)], fill=0, width=18)
    return _png(picture)


@cache
def page() -> bytes:
    """Return a page with two sevens as a PNG file."""
    picture = Image.new("L", (560, 280), 255)
    for left in (0, 280):
        picture.paste(Image.open(io.BytesIO(digit())), (left, 0))
    return _png(picture)


@cache
def blocks() -> bytes:
    """Return a page of 513 blocks that could be digits, as a PNG file."""
    picture = Image.new("L", (27 * 40, 19 * 40), 255)
    draw = ImageDraw.Draw(picture)
    for number in range(513):
        left, top = number % 27 * 40 + 8, number // 27 * 40 + 8
        draw.rectangle((left, top, left + 20, top + 24), fill=0)
    return _png(picture)


@cache
def squares() -> bytes:
    """Return a PNG file of 400x400 px in which every other square, drawn at random, is black."""
    small = Image.frombytes("L", (100, 100), bytes(255 * (byte & 1) for byte in random.Random(1).randbytes(10_000)))
    return _png(small.resize((400, 400), Image.Resampling.NEAREST))


@cache
def scans() -> bytes:
    """Return a JPEG file of 800x800 px, of which the last scan is repeated 5,000 times."""
    file = io.BytesIO()
    Image.effect_noise((800, 800), 1).save(file, "JPEG", progressive=True, quality=10)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * 5_000 + content[-2:]


@cache
def blank() -> bytes:
    """Return a PNG file of 40 megapixels."""
    return _png(Image.new("L", (8_000, 5_000), 255))
