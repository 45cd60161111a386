import pytest
from PIL import ImageFont

from mnist_cli.reporting import fonts

NOBODYS = "\U0010fffd"  # a character that no font has


def test_letters_that_a_font_has_stay_and_others_are_spelled_out():
    assert fonts.spell_out(f"{NOBODYS}\nseven.png · é → Ω") == "\\U0010fffd\nseven.png · é → Ω"
    file, text = fonts.fit(f"é{NOBODYS}")
    assert text == "é\\U0010fffd"
    assert ImageFont.truetype(file).getname()[0] == fonts.families()[0] == "DejaVu Sans"


@pytest.mark.parametrize("name", ["seven.png", "数字.png"])
def test_what_is_drawn_is_a_name_or_its_spelling(name):
    file, text = fonts.fit(name)
    assert text in {name, "\\u6570\\u5b57.png"}
    assert (ImageFont.truetype(file).getname()[0] == "DejaVu Sans") == text.isascii()
