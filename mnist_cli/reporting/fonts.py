"""Which letters the fonts here have: names in any script are drawn, and what no font has is spelled out."""

from functools import cache

from matplotlib.font_manager import findfont, get_font, get_font_names
from matplotlib.ft2font import FT2Font

# Which ships with matplotlib, and then for Chinese, where one of these is installed: the fonts of Linux, macOS and Windows.
WANTED = ("DejaVu Sans", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans GB", "Microsoft YaHei")


@cache
def families() -> list[str]:
    """Return the names of the fonts to draw with; a letter is taken from the first that has it."""
    installed = get_font_names()
    return [name for name in WANTED if name in installed]


def spell_out(text: str) -> str:
    """Return `text` with characters that none of the fonts has, which would be drawn as boxes, as Python escapes them."""
    return "".join(_spelled(character, _fonts()) for character in text)


def fit(text: str) -> tuple[str, str]:
    """Return the file of one font to draw `text` with, and the text with what that font does not have spelled out."""
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
