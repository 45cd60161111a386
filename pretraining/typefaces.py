"""Typefaces of the npm registry: handwriting, for digits and letters, and symbols and emoji, which are negative examples.

`package.json` beside this file names them; all are free (SIL Open Font License 1.1, a few Apache 2.0; the symbols of Font
Awesome also CC BY 4.0). `make model` downloads them. The Playwrite family has the school scripts of many countries.
"""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fontTools.ttLib import TTFont

from mnist_cli.config import DATA_DIR
from mnist_cli.errors import DataError

FOLDER = DATA_DIR / "typefaces" / "node_modules"
HANDWRITING = "@fontsource/*/files/*-latin-400-normal.woff"
SYMBOLS = ("@fontsource/noto-emoji/files/*-400-normal.woff", "@fortawesome/fontawesome-free/webfonts/fa-solid-900.ttf")
EMOJI = "emoji-datasource-google"
THINGS = {  # the categories of emoji that show something; symbols and flags have digits, letters and bars
    "Activities",
    "Animals & Nature",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Smileys & Emotion",
    "Travel & Places",
}
FIRST_SYMBOL = 0x2190  # the characters before are letters, digits and currencies
# Circles, bars, letters and numbers, which look like digits also when they are filled.
NOT_SYMBOLS = {*"─━│○◯⚪⚫⭕⭘🥚🔟💯🔢", *map(chr, range(0x1F1E6, 0x1F200))}


class Glyph(NamedTuple):
    """A character and the file of a typeface that has it."""

    character: str
    path: Path


def check() -> None:
    """Raise DataError when the typefaces have not been downloaded."""
    if not handwriting() or not symbols() or not emoji():
        raise DataError(f"{FOLDER} has no typefaces; get them with: make {FOLDER}")


@cache
def handwriting() -> tuple[Path, ...]:
    """Return the files of the typefaces like handwriting, which have all digits and Latin letters; none before `make model`."""
    return tuple(sorted(FOLDER.glob(HANDWRITING)))


@cache
def symbols() -> tuple[Glyph, ...]:
    """Return pictures of things: animals, clothes, faces, tools, vehicles."""
    return tuple(
        Glyph(chr(code), path)
        for pattern in SYMBOLS
        for path in sorted(FOLDER.glob(pattern))
        for code in sorted(TTFont(path).getBestCmap())
        if code >= FIRST_SYMBOL and chr(code) not in NOT_SYMBOLS
    )


@cache
def emoji() -> tuple[Path, ...]:
    """Return the files of pictures of things in colour, 64 px wide."""
    catalogue = FOLDER / EMOJI / "emoji.json"
    if not catalogue.exists():
        return ()
    entries = json.loads(catalogue.read_text())
    paths = [FOLDER / EMOJI / "img/google/64" / entry["image"] for entry in entries if entry["category"] in THINGS]
    return tuple(sorted(path for path in paths if path.exists()))
