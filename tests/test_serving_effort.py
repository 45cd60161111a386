import io
import struct

import pytest
from PIL import Image

from mnist_cli.serving import effort


def encoded(kind, size=(280, 280), **options):
    file = io.BytesIO()
    Image.new("L", size, 255).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_drawing_is_quick(kind):
    assert effort.is_quick(encoded(kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_small_file_with_many_pixels_is_not_quick(kind):
    body = encoded(kind, (4_000, 4_000))
    assert len(body) < 1_000_000
    assert not effort.is_quick(body)


def test_a_jpeg_with_many_scans_is_not_quick():
    body = encoded("JPEG", (400, 400), progressive=True)
    assert effort.is_quick(body)
    last = body.rindex(effort.START_OF_SCAN)
    assert not effort.is_quick(body[:-2] + body[last:-2] * 100 + body[-2:])


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_other_formats_are_read_alone(kind):
    assert not effort.is_quick(encoded(kind))


def test_a_large_file_is_read_alone():
    assert not effort.is_quick(encoded("PNG") + bytes(effort.QUICK_BYTES))


@pytest.mark.parametrize(
    "body", [b"", b"milk, eggs", encoded("PNG")[:20], encoded("JPEG")[:20], b"\xff\xd8" + b"\xff\xe0\0\2" * 100]
)
def test_a_file_without_a_size_in_its_header_is_not_quick(body):
    assert not effort.is_quick(body)


def test_a_png_with_two_sizes_is_not_quick():
    body = encoded("PNG")
    again = struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 9_000, 4_000, 8, 0, 0, 0, 0) + bytes(4)
    assert not effort.is_quick(body[:33] + again + body[33:])


@pytest.mark.parametrize("filler", [b"\xff", b"\0", b"\xff\xd0", b"\xff\xe0\0\0"])
def test_a_jpeg_that_decoders_read_differently_is_not_quick(filler):
    body = encoded("JPEG")
    assert not effort.is_quick(body[:2] + filler + body[2:])
