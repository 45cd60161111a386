import pytest
from PIL import ImageFont

from mnist_cli.reporting import fonts

UNSUPPORTED = "\U0010fffd"  # a character that no font has


def test_characters_that_no_font_has_are_escaped():
    assert fonts.spell_out(f"{UNSUPPORTED}\nseven.png · é → Ω") == "\\U0010fffd\nseven.png · é → Ω"
    file, text = fonts.fit(f"é{UNSUPPORTED}")
    assert text == "é\\U0010fffd"
    assert ImageFont.truetype(file).getname()[0] == fonts.families()[0] == "DejaVu Sans"


@pytest.mark.parametrize("name", ["seven.png", "数字.png"])
def test_a_name_is_drawn_as_it_is_or_with_escapes(name):
    file, text = fonts.fit(name)
    assert text in {name, "\\u6570\\u5b57.png"}
    assert (ImageFont.truetype(file).getname()[0] == "DejaVu Sans") == text.isascii()
