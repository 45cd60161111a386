"""The cost of decoding a picture, estimated from the headers of its file: a small file can take gigabytes and minutes.

Formats: TIFF revision 6.0 and BigTIFF; JPEG, ITU-T T.81.
"""

import struct
from typing import BinaryIO

from mnist_cli.errors import TooLargeError

MAX_TILE = 1 << 22  # px of a tile that is larger than its picture; 256 x 256 is common
MAX_TOGETHER = 125_000_000  # px of the picture and of the tile or strip that is unpacked in addition to it
MAX_TILES = 100_000  # tiles or strips; Pillow keeps a list of them
MAX_SCANS = 100  # scans of a JPEG; progressive ones have about 10
MAX_SCANNED = 1_000_000_000  # px in all scans together
CHUNK = 1 << 20  # bytes
START_OF_SCAN = b"\xff\xda"

# TIFF tags.
WIDTH, HEIGHT, COMPRESSION = 256, 257, 259
STRIPS, STRIP_HEIGHT = 273, 278
TILE_WIDTH, TILE_HEIGHT, TILES = 322, 323, 324
INTEGERS = {1: "B", 3: "H", 4: "L", 16: "Q"}  # TIFF field types


def check_tiff(file: BinaryIO) -> None:
    """Raise TooLargeError for a TIFF with too many tiles, or tiles larger than the picture; ignore other files."""
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    if head[:2] not in {b"II", b"MM"} or not {42, 43} & set(head[2:4]) or len(head) < 16:
        return
    entries = _read_directory(file, head)
    file.seek(0)
    count = max((entries[tag][0] for tag in (STRIPS, TILES) if tag in entries), default=0)
    width, height, strip_height, tile_width, tile_height = (
        entries.get(tag, (1, 0))[1] for tag in (WIDTH, HEIGHT, STRIP_HEIGHT, TILE_WIDTH, TILE_HEIGHT)
    )
    is_packed = entries.get(COMPRESSION, (1, 1))[1] != 1
    unpacked = tile_width * tile_height or (is_packed and min(strip_height or height, height) * width)
    if count > MAX_TILES:
        raise TooLargeError(f"the picture has {count:,} tiles, at most {MAX_TILES:,} are read")
    if tile_width * tile_height > max(MAX_TILE, (width + 16) * (height + 16)):
        raise TooLargeError(f"the picture has tiles of {tile_width:,} x {tile_height:,} px, more than its own size")
    if unpacked + width * height > MAX_TOGETHER:
        raise TooLargeError("the picture and its largest tile have too many pixels")


def _read_directory(file: BinaryIO, head: bytes) -> dict[int, tuple[int, int]]:
    """Return the first directory of a TIFF: for each tag the number of its values, and the first of them if it is inline."""
    order = "<" if head[:2] == b"II" else ">"
    is_big = 43 in head[2:4]
    place = struct.unpack(f"{order}Q", head[8:16]) if is_big else struct.unpack(f"{order}L", head[4:8])
    number, entry = (struct.Struct(f"{order}Q"), "HHQ8s") if is_big else (struct.Struct(f"{order}H"), "HHL4s")
    file.seek(min(place[0], 1 << 62))
    start = file.read(number.size)
    if len(start) < number.size:
        return {}
    size = struct.calcsize(order + entry)
    content = file.read(min(number.unpack(start)[0], 1 << 16) * size)
    entries: dict[int, tuple[int, int]] = {}
    for tag, kind, count, value in struct.iter_unpack(order + entry, content[: len(content) // size * size]):
        integer = order + INTEGERS.get(kind, "L")
        first = struct.unpack_from(integer, value)[0] if struct.calcsize(integer) <= len(value) else 0
        entries.setdefault(tag, (count, first))
    return entries


def check_scans(file: BinaryIO, pixels: int) -> None:
    """Raise TooLargeError for a progressive JPEG with too many scans for its pixels."""
    before = file.tell()
    file.seek(0)
    scans, last = 0, b""
    while chunk := file.read(CHUNK):
        scans += (last + chunk).count(START_OF_SCAN)
        last = chunk[-1:]
    file.seek(before)
    if scans > MAX_SCANS or scans * pixels > MAX_SCANNED:
        raise TooLargeError(f"the picture is drawn in {scans:,} passes, which would take too long")
