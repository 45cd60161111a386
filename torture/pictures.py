"""Untrusted pictures: corrupted, malformed, enormous, or not pictures at all."""

import functools
import io
import os
import random
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import ImageError
from mnist_cli.models import checkpoints
from mnist_cli.models.architectures import Classifier
from mnist_cli.pictures import decode
from mnist_cli.recognition import classification, detection
from torture import Outcomes
from torture.mutations import mutate
from torture.workers import check_all

SUFFIXES = (".png", ".jpg", ".gif", ".tif", ".webp", ".bmp", ".ppm", "", ".txt")
MANY = 4  # one in so many pictures is searched for all its digits

# The supported formats, in the modes and with the options in which they are commonly written.
WRITTEN: list[tuple[str, str, dict[str, Any]]] = [
    *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ("PNG", "P", {"transparency": 0}),
    *(("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")),
    ("JPEG", "RGB", {"progressive": True}),
    *(("GIF", mode, {}) for mode in ("L", "P")),
    ("GIF", "P", {"transparency": 0, "save_all": True, "append_images": [Image.new("P", (40, 40), 3)]}),
    *(("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")),
    *(
        ("TIFF", "RGB", {"compression": how})
        for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "zstd", "lzma")
    ),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "L", {"compression": "tiff_lzw", "tiffinfo": {317: 2}}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True}),
    *(("BMP", mode, {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("PPM", mode, {}) for mode in ("1", "L", "RGB", "I;16")),
]


def drawn(mode: str, size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Return a picture with a 7 and a 1 in it."""
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    width, height = size
    pen.line([(width * 0.1, height * 0.2), (width * 0.4, height * 0.2), (width * 0.2, height * 0.8)], "black", 3)
    pen.line([(width * 0.7, height * 0.2), (width * 0.7, height * 0.8)], "navy", 3)
    if mode.startswith(("I", "F")):
        levels = np.asarray(picture.convert("L"))
        return Image.fromarray(levels.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 100)
    if mode == "LAB":
        return Image.merge("LAB", picture.split())
    return picture.convert(mode)


def encoded(kind: str, mode: str, options: dict[str, Any], size: tuple[int, int] = (60, 40)) -> bytes:
    """Return the picture as the content of a file."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    noted = {"exif": exif} if kind in {"PNG", "JPEG", "WEBP"} else {}
    drawn(mode, size).save(file, kind, **options, **noted)
    return file.getvalue()


@functools.cache
def samples() -> list[bytes]:
    """Return one file of each kind."""
    return [encoded(kind, mode, options) for kind, mode, options in WRITTEN]


@functools.cache
def model() -> Classifier:
    """Return the model that ships."""
    return checkpoints.load(PRETRAINED).model


def read(path: Path, many: bool) -> str | None:
    """Read a picture as `mnist predict` does; an error of one sentence is correct, too."""
    decode.silence_libraries()  # as the commands do
    try:
        picture = decode.read(path, None if many else decode.WORKING_SIZE)
    except ImageError as error:
        text = str(error)
        return None if text.startswith(f"{path}: ") and "\n" not in text else f"its sentence is {text!r}"
    if many:
        corners = [found.box[:2] for found in detection.find_digits(model(), picture)]
        return None if all(x >= 0 and y >= 0 for x, y in corners) else f"there are digits at {corners}"
    (prediction,) = classification.classify(model(), [picture])
    right = abs(sum(prediction.probabilities) - 1) < 1e-3
    return (
        None if right and (prediction.digit is None) == bool(prediction.reason) else f"its prediction is {prediction}"
    )


def check_damaged(seed: int, number: int, folder: Path) -> str | None:
    """Corrupt a picture and read it."""
    generator = random.Random(f"{seed}/{number}")
    path = folder / f"picture{generator.choice(SUFFIXES)}"
    path.write_bytes(mutate(generator.choice(samples()), generator))
    return read(path, many=number % MANY == 0)


def damaged(count: int, seed: int, folder: Path) -> Outcomes:
    """Corrupted pictures."""
    yield from check_all(check_damaged, count, seed, folder)


def png(width: int, height: int, colour: int = 0, depth: int = 8, rows: int | None = None, extra: bytes = b"") -> bytes:
    """Return a PNG of zeros whose header has this size, with this number of rows."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + -(-width * channels * depth // 8))
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    palette = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256)) if colour == 3 else b""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def big(kind: str, mode: str, side: int, **options: Any) -> bytes:
    """Return a square picture of one colour."""
    file = io.BytesIO()
    Image.MAX_IMAGE_PIXELS = None
    if mode.startswith(("I", "F")):
        image = Image.fromarray(np.zeros((side, side), {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    else:
        image = Image.new(mode, (side, side))
    image.save(file, kind, **options)
    return file.getvalue()


ENORMOUS = {  # and allowed
    "10,000 x 10,000 grey": lambda: png(10_000, 10_000),
    "10,000 x 10,000 colour": lambda: png(10_000, 10_000, colour=2),
    "10,000 x 10,000 transparent": lambda: png(10_000, 10_000, colour=6),
    "10,000 x 10,000 grey and transparent": lambda: png(10_000, 10_000, colour=4),
    "10,000 x 10,000 of a palette": lambda: png(10_000, 10_000, colour=3),
    "10,000 x 10,000 of one bit": lambda: png(10_000, 10_000, depth=1),
    "10,000 x 10,000 of 16 bits": lambda: png(10_000, 10_000, depth=16),
    "10,000 x 10,000 of 16 bits in colour": lambda: png(10_000, 10_000, colour=2, depth=16),
    "JPEG, 10,000 x 10,000": lambda: big("JPEG", "RGB", 10_000),
    "JPEG, 10,000 x 10,000, CMYK": lambda: big("JPEG", "CMYK", 10_000),
    "JPEG, 10,000 x 10,000, progressive": lambda: big("JPEG", "RGB", 10_000, progressive=True),
    "GIF, 10,000 x 10,000": lambda: big("GIF", "P", 10_000),
    "WebP, 5,400 x 5,400": lambda: big("WEBP", "RGB", 5_400, method=0),
    "WebP, 5,400 x 5,400, transparent": lambda: big("WEBP", "RGBA", 5_400, method=0, lossless=True, quality=0),
    "TIFF, 10,000 x 10,000, transparent": lambda: big("TIFF", "RGBA", 10_000, compression="tiff_adobe_deflate"),
    "TIFF, 10,000 x 10,000, 32 bits": lambda: big("TIFF", "I", 10_000, compression="tiff_adobe_deflate"),
    "TIFF, 10,000 x 10,000, floats": lambda: big("TIFF", "F", 10_000, compression="tiff_adobe_deflate"),
    "TIFF, 10,000 x 10,000, CMYK": lambda: big("TIFF", "CMYK", 10_000, compression="tiff_adobe_deflate"),
    "100,000 x 1": lambda: png(100_000, 1),
    "1 x 100,000": lambda: png(1, 100_000),
    "100,000 x 900, colour": lambda: png(100_000, 900, colour=2),
}
MALFORMED = {  # decompression bombs and false headers
    "a WebP of 10,000 x 10,000": lambda: big("WEBP", "RGB", 10_000, method=0),
    "20,000 x 20,000": lambda: png(20_000, 20_000, rows=100),
    "2 billion x 2 billion": lambda: png(2**31 - 1, 2**31 - 1, rows=0),
    "no width": lambda: png(0, 10),
    "more rows than in the header": lambda: png(10, 10, rows=100_000),
    "fewer rows than in the header": lambda: png(9_000, 9_000, rows=3),
    "a comment that unpacks to a gigabyte": lambda: png(
        40, 40, extra=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 30)))
    ),
    "1,000 comments that unpack to a megabyte": lambda: png(
        40, 40, extra=chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20))) * 1_000
    ),
    "a colour profile that unpacks to a gigabyte": lambda: png(
        40, 40, extra=chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(bytes(1 << 30)))
    ),
    "a chunk with a length of 2 GB": lambda: png(40, 40, extra=struct.pack(">I", 2**31 - 1) + b"eXIf" + bytes(100)),
    "GIF of 65,535 x 65,535": lambda: b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0xF0, 0, 0) + bytes(30),
    "BMP of 2 billion x 1": lambda: encoded("BMP", "RGB", {})[:18] + struct.pack("<ii", 2**31 - 1, 1) + bytes(100),
    "BMP of less than no height": lambda: encoded("BMP", "RGB", {})[:18] + struct.pack("<ii", 40, -(2**31)) + bytes(99),
    "PPM of 99,999 x 99,999": lambda: b"P6 99999 99999 255\n" + bytes(1000),
    "PPM in digits without an end": lambda: b"P3 9000 9000 255\n" + b"1" * 1_000_000,
    "PPM whose header never ends": lambda: b"P6 " + b"#" * 10_000_000,
    "nothing": lambda: b"",
    "text": lambda: b"seven",
    "zeros": lambda: bytes(1_000_000),
    "a script named as a picture": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(w) file\n",
    "an SVG named as a picture": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}
ODD = ENORMOUS | MALFORMED
PLACES = (
    "folder",
    "pipe",
    "pipe without a writer",
    "/dev/zero",
    "/dev/full",
    "/dev/null",
    "/dev/stdin",
    "loop",
    "nowhere",
)


def check_odd(seed: int, number: int, folder: Path) -> str | None:
    """Read a picture of the list above, for one digit and then for many."""
    name, write = list(ODD.items())[number // 2 % len(ODD)]
    path = folder / f"odd-{number // 2 % len(ODD)}.png"
    if not path.exists():
        path.write_bytes(write())
    failure = read(path, many=number % 2 == 1)
    if failure is None and name in ENORMOUS:
        picture = decode.read(path)
        failure = None if max(picture.shape) <= decode.WORKING_SIZE else f"it is {picture.shape}"
    if number % 2:
        path.unlink()
    return failure and f"{name}: {failure}"


def odd(count: int, seed: int, folder: Path) -> Outcomes:
    """Enormous pictures, decompression bombs and false headers."""
    yield from check_all(check_odd, min(count, 2 * len(ODD)), seed, folder)


def check_place(seed: int, number: int, folder: Path) -> str | None:
    """Read a path that is not a regular file."""
    decode.silence_libraries()
    name = PLACES[number % len(PLACES)]
    path = folder / "place.png"
    path.unlink(missing_ok=True)
    match name:
        case "folder":
            path = folder
        case "pipe" | "pipe without a writer":
            os.mkfifo(path)
            if name == "pipe":
                threading.Thread(target=lambda: os.open(path, os.O_RDWR | os.O_NONBLOCK), daemon=True).start()
        case "loop":
            path.symlink_to(path)
        case "nowhere":
            path.symlink_to(folder / "nothing")
        case _:
            path = Path(name)
    try:
        decode.read(path)
    except ImageError:
        return None
    return f"{name} is a picture"


def places(count: int, seed: int, folder: Path) -> Outcomes:
    """Paths that are not regular files."""
    yield from check_all(check_place, min(count, len(PLACES)), seed, folder)
