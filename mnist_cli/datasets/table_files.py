"""Tables of labelled images: CSV with a column for each pixel, as Kaggle has it, and Parquet with the bytes of pictures."""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Frames
from mnist_cli.datasets import picture_frames
from mnist_cli.datasets.array_files import PIXELS
from mnist_cli.datasets.picture_frames import Progress, Read
from mnist_cli.errors import DataError, missing
from mnist_cli.labels import DIGITS
from mnist_cli.pictures import normalize

ROWS_AT_ONCE = 1_000
MAX_LINE_CHARACTERS = 20_000  # of a row of 784 pixels, of which each has at most 20 characters
MAX_SHOWN_CHARACTERS = 60  # of a cell that an error quotes
LABEL_COLUMNS = ("label", "class", "digit", "labels", "y")
IMAGE_COLUMNS = ("image", "img", "picture", "png", "bytes")

Labels = list[str]


def val_beside(path: Path) -> Path | None:
    """Return the file for validation beside one for training, if there is one.

    It is `mine-val.csv` for `mine.csv`, or has `test` or `val` in its name where that has `train`.
    """
    names = [f"{path.stem}-val{path.suffix}"]
    if "train" in path.stem:
        names += [path.stem.replace("train", other) + path.suffix for other in ("val", "test", "validation")]
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def read_csv(path: Path, progress: Progress = picture_frames.ignore) -> tuple[Frames, Labels]:
    """Return the images (N, 1, 28, 28) and the labels of a CSV file, with or without the heading `label,pixel0,...`.

    A label is a number or a name. Raises DataError, naming the row, for a table of another kind.
    """
    names: Labels = []
    chunks: list[NDArray[np.uint8]] = []
    scale = 1
    total = path.stat().st_size // (2 * PIXELS)  # rows, about
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        numbered = _rows(file)
        while some := list(islice(numbered, ROWS_AT_ONCE)):
            labels, pixels = zip(*(_split(line, path, row) for row, line in some), strict=True)
            rows = [row for row, _ in some]
            values = _numbers(pixels, path, rows)
            if not chunks and values.max() <= 1:
                scale = 255
            names += labels
            chunks.append(_levels(values * scale, path, rows))
            progress(len(names), max(total, len(names)))
    if not names:
        raise DataError(f"{path} has no rows of a label and {PIXELS} pixels")
    return normalize.upright(np.concatenate(chunks).reshape(-1, 1, FRAME, FRAME)), names


def _rows(file: IO[str]) -> Iterator[tuple[int, str]]:
    """Yield the rows below a heading with their numbers, blank ones left out."""
    lines = iter(lambda: file.readline(MAX_LINE_CHARACTERS), "")
    for row, line in enumerate(lines, 1):
        is_heading = row == 1 and not line.partition(",")[2].strip(' "\r\n')[:1].isdigit()
        if line.strip() and not is_heading:
            yield row, line


def _split(line: str, path: Path, row: int) -> tuple[str, str]:
    """Return the label of a row, and the text of its pixels."""
    if line.startswith('"'):
        label, *cells = next(csv.reader([line]))
        pixels = ",".join(cells)
    else:
        label, _, pixels = line.rstrip().partition(",")
    if pixels.count(",") != PIXELS - 1 or not label.strip():
        raise DataError(
            f"{path}, row {row:,} has {pixels.count(',') + bool(pixels):,} cells behind `{label[:MAX_SHOWN_CHARACTERS]}`, expected a "
            f"label and {PIXELS} pixels"
        )
    return label.strip().removesuffix(".0"), pixels


def _numbers(pixels: Sequence[str], path: Path, rows: Sequence[int]) -> NDArray[np.float32]:
    """Return the pixels (N, 784) of rows."""
    try:
        return np.loadtxt(pixels, np.float32, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        row, cell = next(
            (row, cell)
            for row, text in zip(rows, pixels, strict=True)
            for cell in text.split(",")
            if not _is_number(cell)
        )
        raise DataError(
            f"{path}, row {row:,} has the pixel {cell[:MAX_SHOWN_CHARACTERS]!r}, which is no number"
        ) from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _levels(values: NDArray[np.float32], path: Path, rows: Sequence[int]) -> NDArray[np.uint8]:
    is_wrong = ~((values >= 0) & (values <= 255)).all(axis=1)  # true for NaN, too
    if is_wrong.any():
        raise DataError(f"{path}, row {rows[int(is_wrong.argmax())]:,} has a pixel that is not from 0 to 255")
    return values.round().astype(np.uint8)


def read_parquet(path: Path, progress: Progress = picture_frames.ignore) -> tuple[Read, Labels]:
    """Return the frames of the pictures in a Parquet file, and the labels of all its rows.

    It has the bytes of a picture in a column `image`, as Hugging Face's data sets have it, and a column `label` with numbers, whose
    names may be in the metadata, or with names. Raises DataError when it has not.
    """
    import_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            image, label = _column(schema, IMAGE_COLUMNS, path), _column(schema, LABEL_COLUMNS, path)
            pictures: list[bytes] = []
            labels: Labels = []
            names = _names_in(schema, label)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=[image, label]):
                pictures += [
                    _bytes_of(cell, path, len(pictures) + row) for row, cell in enumerate(batch[image].to_pylist(), 1)
                ]
                labels += [
                    _label_of(cell, names, path, len(labels) + row)
                    for row, cell in enumerate(batch[label].to_pylist(), 1)
                ]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file, or it is corrupted: {str(error)[:200]}") from error
    return picture_frames.read(pictures, set(labels) <= set(DIGITS), progress), labels


def import_pyarrow(path: Path) -> None:
    """Raise MnistError when pyarrow is not installed, which Parquet files need."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise missing(path, error, "parquet") from error


def _column(schema: Any, names: tuple[str, ...], path: Path) -> str:
    found = next((name for name in names if name in schema.names), None)
    if found is None:
        raise DataError(f"{path} has no column `{names[0]}`, but {', '.join(schema.names)[:MAX_SHOWN_CHARACTERS]}")
    return found


def _names_in(schema: Any, label: str) -> list[str]:
    """Return the names of the classes in the metadata that Hugging Face's library writes, or none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    return []


def _bytes_of(cell: Any, path: Path, row: int) -> bytes:
    content = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(content, bytes):
        raise DataError(f"{path}, row {row:,} has no bytes of a picture")
    return content


def _label_of(cell: Any, names: list[str], path: Path, row: int) -> str:
    if isinstance(cell, int) and names:
        if not 0 <= cell < len(names):
            raise DataError(
                f"{path}, row {row:,} has the label {cell}, but there are the names of {len(names)} classes"
            )
        return names[cell]
    if isinstance(cell, int | str) and str(cell).strip():
        return str(cell).strip()
    raise DataError(f"{path}, row {row:,} has no label")
