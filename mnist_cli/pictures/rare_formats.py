"""HEIC and AVIF, which only some installations can decode: recognized by their first bytes, and opened where possible.

Both are ISO base media files (ISO/IEC 14496-12): a length, `ftyp`, a main brand, a version, then further brands.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, features

from mnist_cli.errors import FormatError

Name = Literal["HEIC", "AVIF"]

BRANDS: dict[Name, frozenset[bytes]] = {
    "AVIF": frozenset({b"avif", b"avis"}),
    "HEIC": frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}),
}
SUFFIXES: dict[str, Name] = {".heic": "HEIC", ".heif": "HEIC", ".hif": "HEIC", ".avif": "AVIF"}
HINTS: dict[Name, str] = {
    "HEIC": 'to read it, type: pip install "mnist-cli[heic]"',
    "AVIF": "to read it, install Pillow 11.3 or newer",
}
MAX_HEADER_BYTES = 128  # that are searched for a brand

# So that a picture takes at most 500 MB: with 8 bits a channel 10 bytes a pixel were measured for a HEIC, with more 22. Of an
# AVIF Pillow does not tell the bits.
MAX_PIXELS_OF = {"HEIF": 50_000_000, "AVIF": 23_000_000}
MAX_DEEP_PIXELS = 23_000_000


def is_readable(name: Name) -> bool:
    """Return whether this installation decodes a format."""
    if name == "HEIC":
        return find_spec("pillow_heif") is not None
    return "avif" in features.modules and bool(features.check("avif"))  # older releases of Pillow warn of the name


def suffixes() -> set[str]:
    """Return the suffixes of the files that this installation decodes."""
    return {suffix for suffix, name in SUFFIXES.items() if is_readable(name)}


def openers(file: BinaryIO) -> tuple[str, ...]:
    """Register the decoder of an open file in one of these formats, and return Pillow's name of it; else nothing.

    Raises FormatError, with what to install, when this installation does not decode it.
    """
    name = _name_of(file.read(MAX_HEADER_BYTES))
    file.seek(0)
    if name is None:
        return ()
    if not is_readable(name):
        raise FormatError(f"this is a picture in the format {name}; {HINTS[name]}")
    return (_register(name),)


def max_pixels(image: Image.Image) -> int:
    """Return how many pixels an image that has been opened, and not decoded yet, may have in these formats."""
    limit = MAX_PIXELS_OF.get(image.format or "", sys.maxsize)
    return min(limit, MAX_DEEP_PIXELS) if image.info.get("bit_depth", 8) > 8 else limit


def left_out(path: str) -> Name | None:
    """Return the format of a file, by its suffix, if this installation does not decode it."""
    name = SUFFIXES.get(Path(path).suffix.lower())
    return name if name and not is_readable(name) else None


def _name_of(start: bytes) -> Name | None:
    size = min(int.from_bytes(start[:4], "big"), len(start))
    if start[4:8] != b"ftyp":
        return None
    brands = {start[8:12], *(start[offset : offset + 4] for offset in range(16, size, 4))}
    return next((name for name, known in BRANDS.items() if brands & known), None)


def _register(name: Name) -> str:
    """Register the decoder of a format with Pillow and return its name there.

    Thumbnails in the file are ignored: they may differ from the picture.
    """
    if name == "AVIF":
        from PIL import AvifImagePlugin  # noqa: F401  (which registers itself)

        return "AVIF"
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return "HEIF"
