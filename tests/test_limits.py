"""Small files whose decoding would take gigabytes or minutes."""

import io
import struct

import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.errors import ImageError, TooLargeError
from mnist_cli.pictures import decode, limits


def encoded(kind, **options):
    file = io.BytesIO()
    draw_seven().save(file, kind, **options)
    return file.getvalue()


def tiff(entries, order="<", big=False):
    """Return the start of a TIFF with such tags: (tag, type, count, value)."""
    mark = {"<": b"II", ">": b"MM"}[order]
    if big:
        body = b"".join(struct.pack(f"{order}HHQQ", tag, 16, *rest) for tag, _, *rest in entries)
        return mark + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, len(entries)) + body
    body = b"".join(struct.pack(f"{order}HHLL", *entry) for entry in entries)
    return mark + struct.pack(f"{order}HLH", 42, 8, len(entries)) + body + bytes(4)


SIZE = [(limits.WIDTH, 4, 1, 1), (limits.HEIGHT, 4, 1, 1)]
LARGE_TILE = [*SIZE, (limits.TILE_WIDTH, 4, 1, 32_768), (limits.TILE_HEIGHT, 4, 1, 16_000)]
MANY_STRIPS = [*SIZE, (limits.STRIPS, 4, 2_000_000, 8)]
LARGE_STRIP = [(limits.WIDTH, 4, 1, 10_000), (limits.HEIGHT, 4, 1, 10_000), (limits.COMPRESSION, 4, 1, 5)]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("entries", "why"),
    [(LARGE_TILE, "tiles of 32,768 x 16,000 px"), (MANY_STRIPS, "2,000,000 tiles"), (LARGE_STRIP, "largest tile")],
)
def test_a_tiff_of_large_or_many_tiles_is_refused_before_it_is_decoded(entries, why, order, big):
    with pytest.raises(TooLargeError, match=why):
        decode.decode(io.BytesIO(tiff(entries, order, big)))


@pytest.mark.parametrize("cut", [0, 3, 8, 9, 12, 40])
def test_half_a_tiff_is_left_to_the_decoder(cut):
    with pytest.raises(ImageError):
        decode.decode(io.BytesIO(encoded("TIFF")[:cut]))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_an_ordinary_tiff_is_read(compression):
    assert decode.decode(io.BytesIO(encoded("TIFF", compression=compression))).shape[:2] == (200, 200)


def repeated_scan(times):
    """A JPEG whose last pass is drawn again and again."""
    content = encoded("JPEG", progressive=True)
    place = content.rindex(limits.START_OF_SCAN)
    return content[:-2] + content[place:-2] * times + content[-2:]


def test_a_jpeg_of_many_passes_is_refused():
    assert decode.decode(io.BytesIO(repeated_scan(0))).shape[0] == 200
    with pytest.raises(TooLargeError, match=r"drawn in 2,0\d\d passes"):
        decode.decode(io.BytesIO(repeated_scan(2_000)))


def test_passes_over_many_pixels_are_fewer():
    with pytest.raises(TooLargeError, match="passes"):
        limits.check_scans(io.BytesIO(limits.START_OF_SCAN * 20), 90_000_000)


def test_a_mark_across_two_chunks_counts_once(monkeypatch):
    monkeypatch.setattr(limits, "MAX_SCANS", 2)
    monkeypatch.setattr(limits, "CHUNK", 3)
    file = io.BytesIO(b"ab" + limits.START_OF_SCAN + b"a" + limits.START_OF_SCAN)
    limits.check_scans(file, 1)
    with pytest.raises(TooLargeError, match="3 passes"):
        limits.check_scans(io.BytesIO(file.getvalue() + limits.START_OF_SCAN), 1)


def test_a_webp_of_more_pixels_than_its_decoder_needs_memory_for_is_refused():
    file = io.BytesIO()
    Image.new("L", (6_000, 6_000)).save(file, "WEBP", method=0, quality=0)
    with pytest.raises(TooLargeError, match="at most 30,000,000"):
        decode.decode(file)
