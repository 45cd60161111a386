"""Names of files, runs and models as text that can be shown and written, whatever bytes they are made of.

Python has a byte of a name that is no text as a lone surrogate (PEP 383), which no encoding writes; a name may also have
characters that steer a terminal, or that an encoding such as cp1252 does not have. JSON keeps all of them exactly, as
escapes that `os.fsencode` turns back into bytes.
"""

SURROGATES = range(0xDC80, 0xDD00)  # what stands for the bytes 0x80 to 0xFF


def one_line(text: object) -> str:
    """Return `text` on one line, with control characters escaped, but undecodable bytes unchanged."""
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or ord(c) in SURROGATES else repr(c)[1:-1] for c in line)


def printable(text: object) -> str:
    """Return `text` on one line for a terminal, a picture or a page: all that is not printable is escaped."""
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if ord(c) in SURROGATES else c for c in one_line(text))


def encode_any(error: UnicodeError) -> tuple[str | bytes, int]:
    """Handle encoding errors: undecodable bytes are written unchanged, other characters escaped.

    As an error handler it encodes one character, and returns where to go on.
    """
    assert isinstance(error, UnicodeEncodeError)
    character = error.object[error.start]
    if ord(character) in SURROGATES and not error.encoding.startswith(("utf-16", "utf-32")):  # of several bytes each
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return character.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1
