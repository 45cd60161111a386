"""Apache Arrow: the column of a table that holds pictures, and the columns of the results."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from mnist_cli.errors import DataError, ImageError

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE = "image"  # the name of the column that is taken where several hold bytes


def image_column(schema: "pa.Schema") -> str:
    """Return the column with the encoded bytes of pictures: binary, or a struct that has `bytes`, as Hugging Face writes it.

    Raises DataError, which does not name the file, when there is none or more than one of which none is called `image`.
    """
    found = [field.name for field in schema if _is_binary(field.type) or _bytes_field(field.type) is not None]
    if IMAGE in found or len(found) == 1:
        return IMAGE if IMAGE in found else found[0]
    names = ", ".join(found or schema.names)
    if found:
        raise DataError(f"several columns hold bytes ({names}); the one with the pictures must be called {IMAGE}")
    raise DataError(
        f"no column holds the bytes of pictures, as type binary or in a struct with `bytes`; it has {names}"
    )


def cells(column: "pa.Array | pa.ChunkedArray") -> Iterator[bytes | ImageError]:
    """Yield the encoded bytes of the pictures in a column."""
    for cell in column:
        found = cell.as_py()
        if isinstance(found, dict):
            found = found["bytes"]
        yield found if found else ImageError("there is no picture in this row")


def schema(many: bool, first: "Iterable[pa.Field]" = ()) -> "pa.Schema":
    """Return the columns of results, behind those of `first`; they are those of `mnist predict --json`."""
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    columns: list[Any] = [
        ("digit", pa.int8()),
        ("label", text),
        ("confidence", number),
        ("probabilities", pa.list_(number)),
        ("reason", text),
    ]
    if many:
        box = ("box", pa.list_(pa.int32()))  # x, y, width, height in pixels
        digits = pa.list_(pa.struct([("digit", pa.int8()), ("confidence", number), box, ("reason", text)]))
        numbers = pa.list_(
            pa.struct([("text", text), ("before", text), ("confidence", number), box, ("digits", digits)])
        )
        lines = pa.list_(pa.struct([("numbers", numbers)]))
        columns += [("digits", digits), ("text", text), ("numbers", pa.list_(text)), ("lines", lines)]
    return pa.schema([*first, *columns])


def _is_binary(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _bytes_field(kind: "pa.DataType") -> int | None:
    """Return the index of the field `bytes` of a struct, or None."""
    import pyarrow as pa

    if not pa.types.is_struct(kind):
        return None
    index = int(kind.get_field_index("bytes"))
    return index if index >= 0 and _is_binary(kind.field(index).type) else None
