import codecs
import os

import pytest

from mnist_cli.names import encode_any, one_line, printable

BYTES = os.fsdecode(b"\xff\x9b.png")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("数字 é.png", "数字 é.png"),
        ("a\nb", "a\\nb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b2J", "\\x9b2J"),  # the same in one character, C1
        ("\u202egnp.exe", "\\u202egnp.exe"),
        (BYTES, "\\xff\\x9b.png"),
    ],
)
def test_nothing_in_a_name_steers_a_terminal(name, shown):
    assert printable(name) == shown
    assert printable(name).isprintable()


def test_bytes_that_are_no_text_are_kept_on_a_line():
    assert one_line(BYTES) == BYTES
    assert one_line("a\n" + BYTES) == "a\\n" + BYTES


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_any_name_is_encoded(encoding):
    encoded, end = encode_any(UnicodeEncodeError(encoding, "数字", 0, 2, "why"))
    assert (encoded, end) == ("\\u6570", 1)
    encoded, end = encode_any(UnicodeEncodeError(encoding, "x" + BYTES, 1, 3, "why"))
    assert (encoded, end) == (b"\xff", 2)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_byte_is_spelled_out_where_a_character_has_several(encoding):
    codecs.register_error("any", encode_any)
    assert f"a{BYTES}".encode(encoding, "any").decode(encoding) == "a\\udcff\\udc9b.png"
