"""Record batches of Apache Arrow with pictures to record batches with results, as Spark, Ray and others exchange them."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from mnist_cli.bulk import tables, work
from mnist_cli.errors import DataError
from mnist_cli.models.interface import Model
from mnist_cli.recognition.pipeline import Options

if TYPE_CHECKING:
    import pyarrow as pa


def predict(model: Model, batches: "Iterable[pa.RecordBatch]", options: Options) -> "Iterator[pa.RecordBatch]":
    """Yield each batch with the columns of the results in place of its column of pictures.

    Raises DataError when a batch has no column of pictures, or a column with the name of one of the results.
    """
    import pyarrow as pa

    columns = tables.schema(options.many)
    for batch in batches:
        images = tables.image_column(batch.schema)
        others = [name for name in batch.schema.names if name != images]
        if taken := set(others) & set(columns.names):
            raise DataError(f"the table has a column {min(taken)} already; rename it")
        pictures = ((str(row), cell) for row, cell in enumerate(tables.cells(batch.column(images))))
        results = chain.from_iterable(work.recognize(model, pictures, options))
        rows = [result.to_dict(many=options.many) for _, result in results]  # of which the path is no column
        found = pa.RecordBatch.from_pylist(rows, columns)
        kept = [batch.schema.field(name) for name in others]
        arrays = [batch.column(name) for name in others] + found.columns
        yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema([*kept, *columns]))
