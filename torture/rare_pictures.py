"""HEIC and AVIF files: of odd sizes, with false sizes in their headers, and corrupted."""

import functools
import importlib
import io
import random
import struct
from pathlib import Path

from PIL import Image

from mnist_cli.errors import ImageError
from mnist_cli.pictures import decode, rare_formats
from mnist_cli.pictures.rare_formats import Name
from torture import Outcomes, Skipped
from torture.bombs import PICTURE
from torture.mutations import mutate
from torture.pictures import drawn
from torture.workers import check_all

SIDES = (1, 2, 3, 7, 16, 17, 28, 63, 64, 65, 100, 401, 999)
CLAIMS = (0, 1, 7, 64, 4_000, 16_385, 65_536, 1 << 30, (1 << 32) - 1)  # px, that a header states
NAMES: tuple[Name, ...] = ("HEIC", "AVIF")


@functools.lru_cache(200)
def written(name: Name, mode: str, width: int, height: int) -> bytes:
    """Return a picture in one of the formats."""
    file = io.BytesIO()
    drawn(mode, (width, height)).save(file, {"HEIC": "HEIF"}.get(name, name), quality=30)
    return file.getvalue()


def check_picture(seed: int, number: int, folder: Path) -> str | None:
    """Read such a picture: unchanged, with a false size in its header, or corrupted."""
    generator = random.Random(f"{seed}/{number}")
    name = generator.choice([name for name in NAMES if rare_formats.is_readable(name)])
    width, height = generator.choice(SIDES), generator.choice(SIDES)
    content = written(name, generator.choice(("RGB", "RGBA", "L")), width, height)
    kind = generator.randrange(4)
    if kind == 1:
        place = content.find(b"ispe") + 8  # of the box that states the size, ISO/IEC 23008-12
        content = content[:place] + struct.pack(">II", *generator.choices(CLAIMS, k=2)) + content[place + 8 :]
    elif kind:
        content = mutate(content, generator)
    path = folder / f"seven.{name.lower()}"
    path.write_bytes(content)
    try:
        picture = decode.read(path)
    except ImageError as error:
        text = str(error)
        if kind == 0:
            return f"{name} of {width} x {height} was refused: {text}"
        return None if str(path) in text and "\n" not in text and len(text) < 600 else f"its sentence is {text[:900]!r}"
    longest = max(picture.shape[:2])
    if longest > decode.WORKING_SIZE or (kind == 0 and (picture.shape[0] < picture.shape[1]) != (height < width)):
        return f"{name} of {width} x {height} was read as {picture.shape}"
    return None


def pictures(count: int, seed: int, folder: Path) -> Outcomes:
    """HEIC and AVIF, where this installation reads one of them."""
    if not any(rare_formats.is_readable(name) for name in NAMES):
        raise Skipped("neither HEIC nor AVIF is read here")
    if rare_formats.is_readable("HEIC"):
        importlib.import_module("pillow_heif").register_heif_opener()  # which also writes it
    Image.init()
    yield from check_all(check_picture, count, seed, folder, PICTURE)
