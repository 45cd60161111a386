"""Fonts for names in any script: a character that no installed font has is written as a Python escape."""

from functools import cache

from matplotlib.font_manager import findfont, get_font, get_font_names
from matplotlib.ft2font import FT2Font

# DejaVu Sans ships with matplotlib; the others are the Chinese fonts of Linux, macOS and Windows.
WANTED = ("DejaVu Sans", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans GB", "Microsoft YaHei")


@cache
def families() -> list[str]:
    """Return the names of the installed fonts to draw with; a character is drawn with the first one that has it."""
    installed = get_font_names()
    return [name for name in WANTED if name in installed]


def spell_out(text: str) -> str:
    """Return `text` with Python escapes for the characters that no font has, which would be drawn as boxes."""
    return "".join(_spelled(character, _fonts()) for character in text)


def fit(text: str) -> tuple[str, str]:
    """Return the file of one font to draw `text` with, and the text with escapes for the characters it does not have."""
    font = next((font for font in _fonts() if all(_has(font, character) for character in text)), _fonts()[0])
    return str(font.fname), "".join(_spelled(character, [font]) for character in text)


@cache
def _fonts() -> list[FT2Font]:
    return [get_font(findfont(name)) for name in families()]


def _has(font: FT2Font, character: str) -> bool:
    return bool(font.get_char_index(ord(character)))


def _spelled(character: str, fonts: list[FT2Font]) -> str:
    if character == "\n" or any(_has(font, character) for font in fonts):
        return character
    return character.encode("ascii", "backslashreplace").decode()
