"""How much work it is to read a picture, estimated from the header of its file, since a small file may decode to many pixels.

Formats: PNG, W3C (third edition), 11.2.1; JPEG, ITU-T T.81, annex B.
"""

import struct

QUICK_BYTES = 1_000_000
QUICK_PIXELS = 2_000_000  # that are decoded, in all passes over a JPEG together
MAX_SEGMENTS = 64  # of a JPEG, before the one with its size

PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
JPEG_START = b"\xff\xd8"
START_OF_SCAN = b"\xff\xda"
SEGMENTS = frozenset(range(0xC0, 0xFF)) - frozenset(range(0xD0, 0xDB))  # markers that have a length
SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers of the segments that have the size of a picture


def is_quick(body: bytes) -> bool:
    """Return whether a picture is fast enough to read for a batch: a PNG or a JPEG with few pixels."""
    if len(body) > QUICK_BYTES:
        return False
    pixels = _png_pixels(body) if body.startswith(PNG_START) else _jpeg_pixels(body)
    return pixels is not None and pixels <= QUICK_PIXELS


def _png_pixels(body: bytes) -> int | None:
    start = len(PNG_START)
    if len(body) < start + 8 or body.count(b"IHDR") > 1:  # of several headers Pillow uses the last
        return None
    width, height = struct.unpack_from(">II", body, start)
    pixels: int = width * height
    return pixels


def _jpeg_pixels(body: bytes) -> int | None:
    """Return the pixels of a JPEG times its scans, of which a progressive one may have many; None when it is not a JPEG."""
    if not body.startswith(JPEG_START):
        return None
    offset = len(JPEG_START)
    for _ in range(MAX_SEGMENTS):
        if offset + 9 > len(body):
            return None
        start, marker, length = struct.unpack_from(">BBH", body, offset)
        if start != 0xFF or marker not in SEGMENTS or length < 2:  # decoders differ in how they read it
            return None
        if marker in SIZES:
            height, width = struct.unpack_from(">HH", body, offset + 5)
            return int(width * height * max(1, body.count(START_OF_SCAN)))
        offset += 2 + length
    return None
