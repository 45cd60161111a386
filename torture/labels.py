"""Tables of labelled pictures: `labels.csv` as spreadsheets and editors write it, and with invalid content."""

import csv
import io
import os
import random
import shutil
from pathlib import Path

from mnist_cli.datasets import labelled_pictures
from mnist_cli.errors import DataError
from mnist_cli.pictures import decode
from torture import Outcomes
from torture.bombs import FILE
from torture.mutations import mutate
from torture.pictures import drawn
from torture.workers import check_all

PICTURES = ("a.png", "b c.png", "数字.png", "sub/d.png", "comma,semi;colon.png", 'quo"te.png', "=1+1.png", "e.txt")
# Rows for which a table is refused.
REFUSED: list[tuple[str, ...]] = [
    ("../outside.png", "7"), ("sub/../../outside.png", "7"), ("/etc/passwd", "1"), ("gone.png", "1"), ("a.png", "10"), ("a.png", "-1"),
    ("a.png", ""), ("a.png",), ("a.png", "7", "x"), ("a.png", "\u0667"), ("a.png", "7.0"), ("a.png", "seven"), ("7", "a.png"), ("", "7"),
    ("pipe.png", "1"), ("zero.png", "1"), ("sub", "1"), ("broken.png", "1"), ("a\0.png", "1"), ("x" * 5_000 + ".png", "1"),
    ("y" * 200_000, "1"), ("\x1b[2J.png", "1"), ("\u202e.png", "1"), ("new\nline.png", "1"), ("http://example.org/a.png", "1"),
]  # fmt: skip
HUGE = (b",", b'"', b"\n", b";", b"\r", b"a.png\n", b"\0", b"a", b'a.png,7"', b"\xef\xbb\xbf", b"path,digit\n")
HUGE_BYTES = 9_000_000


def make_folder(folder: Path) -> None:
    """Make a folder with pictures and with files that are not, and a picture outside it."""
    for name in PICTURES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        drawn("RGB").save(folder / name, "PNG")
    drawn("RGB").save(folder.parent / "outside.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")


def draw_table(generator: random.Random) -> tuple[bytes, list[int] | None]:
    """Return a table in a random dialect, and its digits, or None when it has a row for which it is refused."""
    rows: list[tuple[str, ...]] = [
        (generator.choice(PICTURES), str(generator.randrange(10))) for _ in range(generator.randrange(7))
    ]
    digits: list[int] | None = [int(row[1]) for row in rows]
    if generator.random() < 0.5:
        rows.insert(generator.randrange(len(rows) + 1), generator.choice(REFUSED))
        digits = None
    text = io.StringIO()
    end = generator.choice(("\n", "\r\n", "\r"))
    quoting = generator.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    writer = csv.writer(text, delimiter=generator.choice(",;\t"), lineterminator=end, quoting=quoting)
    for row in [("path", "digit"), *rows]:
        writer.writerow([*row, *[""] * generator.choice((0, 0, 0, 1))])
        if generator.random() < 0.1:
            text.write(end)
    written = text.getvalue()
    if generator.random() < 0.2:
        written = written.removesuffix(end)
    return generator.choice(("", "\ufeff")).encode() + written.encode(), digits or None


def check_table(seed: int, number: int, folder: Path) -> str | None:
    """Read a table, then add a row to it as the service does."""
    generator = random.Random(f"{seed}/{number}")
    place = folder / "pictures"
    if not place.exists():
        make_folder(place)
    content, digits = draw_table(generator)
    kind = generator.choices(("as written", "changed", "huge"), (70, 29, 1))[0]
    if kind == "changed":
        content = mutate(content, generator)
    elif kind == "huge":
        piece = generator.choice(HUGE)
        content += piece * (HUGE_BYTES // len(piece))
    (place / "labels.csv").write_bytes(content)
    found = _load(place)
    if isinstance(found, str):
        return f"{content[:300]!r}: {found}"
    if kind == "as written" and found != digits:
        return f"{content[:300]!r} was read as {found}, expected {digits}"
    return None if kind == "huge" else _add(place, found, content, is_whole=kind == "as written")


def _load(place: Path) -> list[int] | str | None:
    """Return the digits of a table, None when it is refused in one sentence, or what is wrong with the sentence."""
    try:
        frames, digits = labelled_pictures.load(place)
    except DataError as error:
        text = str(error)
        is_clear = str(place) in text and len(text) < 600
        return None if is_clear else f"its sentence is {text[:900]!r}"
    return digits.tolist() if frames.shape == (len(digits), 1, 28, 28) else f"its frames are {frames.shape}"


def _add(place: Path, before: list[int] | None, content: bytes, is_whole: bool) -> str | None:
    """Add a row: the earlier rows are kept, and a table that is refused is not changed."""
    try:
        corrections = labelled_pictures.Corrections(place)
        added = corrections.add(decode.read(place / "a.png"), 3)
    except DataError:
        is_same = (place / "labels.csv").read_bytes() == content
        return (
            None
            if is_same and before is None
            else f"{content[:300]!r} was refused, but is not the same any more or was readable before"
        )
    after = _load(place)
    added.unlink()
    # A row that is incomplete at the end of a corrupted table may be removed.
    if before is not None and after != [*before, 3] and (is_whole or after != [*before[:-1], 3]):
        return f"{content[:300]!r} with a row more was read as {after}, expected {[*before, 3]}"
    return after if isinstance(after, str) else None


def tables(count: int, seed: int, folder: Path) -> Outcomes:
    """Tables of labelled pictures."""
    yield from check_all(check_table, count, seed, folder, FILE)
    shutil.rmtree(folder / "pictures")
