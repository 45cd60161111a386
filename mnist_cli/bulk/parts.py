"""Parts of the output, as Parquet, CSV or JSON lines: a row for each picture."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Self, get_args

from mnist_cli.bulk import tables
from mnist_cli.bulk.shards import NamedResult
from mnist_cli.errors import DataError, first_line, missing
from mnist_cli.labels import DIGITS
from mnist_cli.recognition.predictions import Reason
from mnist_cli.recognition.result import Result, csv_cells, csv_columns

Format = Literal["parquet", "csv", "jsonl"]
Row = dict[str, Any]
OF_READ_PICTURES = {*get_args(Reason), "no digit"}  # other reasons are those of pictures that could not be read
OF_PATTERNS = "nothing like "  # begins another one of them
MANY_COLUMNS = ("text", "digits")  # of CSV, the second one as JSON
ROW_GROUP = 4_096  # rows of a Parquet file that are converted at a time


@dataclass
class Counts:
    """How many pictures, digits and reasons some rows have."""

    pictures: int = 0
    unreadable: int = 0  # pictures
    digits: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Count a row, or of many digits each."""
        self.pictures += 1
        found = row.get("digits") or [row]
        names = (one.get("label", one["digit"]) for one in found)
        self.digits.update(str(name) for name in names if name is not None)
        reasons = [one["reason"] for one in found if one["reason"] is not None]
        self.reasons.update(reasons)
        self.unreadable += any(one not in OF_READ_PICTURES and not one.startswith(OF_PATTERNS) for one in reasons)

    def __iadd__(self, other: Self) -> Self:
        """Add the counts of other rows."""
        self.pictures += other.pictures
        self.unreadable += other.unreadable
        self.digits.update(other.digits)
        self.reasons.update(other.reasons)
        return self


@dataclass(frozen=True)
class Part:
    """The content of a file, and what is in it."""

    content: bytes
    counts: Counts


def encode(results: Iterable[NamedResult], form: Format, many: bool, classes: Sequence[str] = DIGITS) -> Part:
    """Return the part that these results make, of a model with these `classes`."""
    counts = Counts()

    def rows() -> Iterator[tuple[Row, Result]]:
        for name, result in results:
            row = {**result.to_dict(many=many), "path": name}
            counts.add(row)
            yield row, result

    return Part(ENCODERS[form](rows(), many, classes), counts)


def _jsonl(rows: Iterator[tuple[Row, Result]], many: bool, classes: Sequence[str]) -> bytes:
    return b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row, _ in rows)


def _csv(rows: Iterator[tuple[Row, Result]], many: bool, classes: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*csv_columns(classes), *(MANY_COLUMNS if many else ())])
    for row, result in rows:
        also = [row["text"], json.dumps(row["digits"])] if many else []
        writer.writerow([row["path"], *csv_cells(result.prediction, result.reason, classes), *also])
    return text.getvalue().encode("utf-8", "surrogateescape")


def _parquet(rows: Iterator[tuple[Row, Result]], many: bool, classes: Sequence[str]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    schema = tables.schema(many, [pa.field("path", pa.string())])
    with pq.ParquetWriter(sink, schema) as writer:
        while some := [_as_text(row) for row, _ in islice(rows, ROW_GROUP)]:
            writer.write_table(pa.Table.from_pylist(some, schema))
    return sink.getvalue()


def _as_text(row: Row) -> Row:
    """Return a row whose path is text: Parquet has no other strings, so undecodable bytes are escaped."""
    return {**row, "path": row["path"].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")}


ENCODERS: dict[Format, Callable[[Iterator[tuple[Row, Result]], bool, Sequence[str]], bytes]] = {
    "parquet": _parquet,
    "csv": _csv,
    "jsonl": _jsonl,
}


def check_format(form: Format) -> None:
    """Raise MnistError when this installation cannot write parts of a format."""
    if form == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise missing("--format parquet", error, "parquet") from error


def count(path: Path, form: Format) -> Counts:
    """Return what a part has that was written before.

    Raises DataError when it is not such a part.
    """
    counts = Counts()
    try:
        for row in DECODERS[form](path):
            counts.add(row)
    except Exception as error:
        raise DataError(
            f"{path} is not a part that this program wrote, or it is corrupted: {first_line(error)}"
        ) from error
    return counts


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.DictReader(file):
            yield {
                "digit": row.get("digit", row.get("label")) or None,
                "reason": row["reason"] or None,
                "digits": json.loads(row.get("digits") or "[]"),
            }


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        columns = {"digit", "label", "reason", "digits"} & set(file.schema_arrow.names)
        for batch in file.iter_batches(columns=sorted(columns)):
            yield from batch.to_pylist()


DECODERS: dict[Format, Callable[[Path], Iterator[Row]]] = {
    "parquet": _read_parquet,
    "csv": _read_csv,
    "jsonl": _read_jsonl,
}
