"""The results of `mnist predict`, written a batch at a time: as a table, plain lines, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from mnist_cli.cli import tables
from mnist_cli.cli.console import print_result
from mnist_cli.cli.tables import GAP
from mnist_cli.labels import DIGITS
from mnist_cli.names import one_line, printable
from mnist_cli.recognition.result import Result, csv_cells, csv_columns, likeliest
from mnist_cli.results import percent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from mnist_cli.recognition.predictions import Prediction

BOX = ("x", "y", "width", "height")  # px in the picture, where it may have several digits
DIGIT_COLUMNS = {"digit": 5, "confidence": 14}  # with their widths in characters
MIN_NAME_WIDTH = 12  # characters for the names of files, however narrow the terminal is


class Writer(Protocol):
    """Prints batches of results."""

    def write(self, results: list[Result]) -> None:
        """Print a batch of results; the errors among them have been shown on stderr."""


class LineWriter:
    """Prints a line for each picture, such as `seven.png: 7  99.8 %`; below it, one for each of many digits.

    A page has its lines between slashes: `page.png: 41 7/23`.
    """

    def __init__(self, top_k: int) -> None:
        """Show the `top_k` likeliest digits, or for 0 the likeliest."""
        self.top_k = top_k

    def write(self, results: list[Result]) -> None:
        """Print the results."""
        lines = [f"{one_line(result.path)}: {self._line(result)}\n" for result in results if not result.error]
        print_result("".join(lines), end="")

    def _line(self, result: Result) -> str:
        if not result.digits:
            return _words(result.prediction, result.reason, self.top_k)
        below = [f"  {_words(digit.prediction, digit.prediction.reason, self.top_k)}" for digit in result.digits]
        return "\n".join(["/".join(line.text for line in result.lines), *(below if self.top_k else [])])


class JsonWriter:
    """Prints one object a line for each file."""

    def __init__(self, top_k: int, many: bool) -> None:
        """Add the `top_k` likeliest digits, unless 0, and with `many` all digits of the picture."""
        self.top_k, self.many = top_k, many

    def write(self, results: list[Result]) -> None:
        """Print the results."""
        lines = [json.dumps(result.to_dict(self.top_k, self.many), allow_nan=False) + "\n" for result in results]
        print_result("".join(lines), end="")


class CsvWriter:
    """Prints a header and a row for each file, or for each digit in it."""

    def __init__(self, many: bool, classes: Sequence[str] = DIGITS) -> None:
        """Print the header, which has a probability for each of `classes`, and with `many` the box of each digit."""
        self.many, self.classes = many, classes
        _print_row([*csv_columns(classes), *(BOX if many else ())])

    def write(self, results: list[Result]) -> None:
        """Print the results."""
        for result in results:
            for digit in result.digits:
                cells = csv_cells(digit.prediction, digit.prediction.reason, self.classes)
                _print_row([result.path, *cells, *digit.box])
            if not result.digits:
                box = [None] * len(BOX) if self.many else []
                _print_row([result.path, *csv_cells(result.prediction, result.reason, self.classes), *box])


class TableWriter:
    """Prints a table on a terminal; its columns have the same width in every batch."""

    def __init__(self, console: "Console", names: list[str], top_k: int, many: bool, show: bool) -> None:
        """Make room for `names`, and with `show` for the input of the model."""
        from rich.cells import cell_len

        self.console, self.top_k, self.many, self.show, self.is_first = console, top_k, many, show, True
        self.has_digit_rows = not many or show or top_k > 0
        widths = ({"digits": 20 if self.has_digit_rows else 40} if many else {}) | (
            DIGIT_COLUMNS if self.has_digit_rows else {}
        )
        if show:
            widths["model input"] = 28
        room = console.width - sum(widths.values()) - GAP * (len(widths) + 1)
        longest = max((cell_len(printable(name)) for name in names), default=0)
        self.widths = {"file": max(MIN_NAME_WIDTH, min(longest, room)), **widths}

    def write(self, results: list[Result]) -> None:
        """Print the results, the first of them below the headings."""
        table = tables.empty()
        table.show_header = self.is_first
        for heading, width in self.widths.items():
            right = heading in {"digit", "confidence"}
            table.add_column(heading, width=width, overflow="fold", justify="right" if right else "left")
        for result in results:
            if not result.error:
                for row in self._rows(result):
                    table.add_row(*row)
                    # A row of several lines is separated from the next by an empty one.
                    if self.show or self.top_k > 1:
                        table.add_row()
        if table.row_count:
            self.console.print(table)
            self.is_first = False

    def _rows(self, result: Result) -> "Iterator[list[Text]]":
        """Yield the rows of a picture, of which the first names it: one, or one for each of many digits."""
        from rich.text import Text

        name = Text(printable(result.path))
        if not self.many:
            yield [name, *self._cells(result.prediction, result.reason)]
            return
        lines = "\n".join(line.text for line in result.lines)
        heads = [name, Text(lines, "bold green") if lines else Text(str(result.reason), "yellow")]
        for digit in result.digits if self.has_digit_rows else []:
            yield [*heads, *self._cells(digit.prediction, digit.prediction.reason)]
            heads = [Text(), Text()]
        if not (self.has_digit_rows and result.digits):
            yield heads

    def _cells(self, prediction: "Prediction | None", reason: str | None) -> "Iterator[Text]":
        """Yield the cells of a digit: the digit in green, a reason in yellow, less likely digits dimmed."""
        from rich.text import Text

        from mnist_cli.reporting.explanations import half_blocks

        style = "yellow" if reason else "bold green"
        for first, *others in zip(*_verdict(prediction, reason, self.top_k), strict=True):
            yield Text("\n").join([Text(first, style), *(Text(other, "dim") for other in others)])
        if self.show and prediction and prediction.frame is not None:
            yield half_blocks(prediction.frame)


def _words(prediction: "Prediction | None", reason: str | None, top_k: int) -> str:
    return "  ".join(word for pair in _verdict(prediction, reason, top_k) for word in pair)


def _verdict(prediction: "Prediction | None", reason: str | None, top_k: int) -> list[tuple[str, str]]:
    """Return the digit and its probability, or `?` and the reason, and the other ones of the `top_k` likeliest digits."""
    if prediction is None:
        return [("?", str(reason))]
    if reason:
        others = [] if reason == "no ink" else likeliest(prediction, top_k)
        return [("?", reason), *((str(digit), percent(probability, 1)) for digit, probability in others)]
    return [(str(digit), percent(probability, 1)) for digit, probability in likeliest(prediction, max(top_k, 1))]


def _print_row(cells: Iterable[object]) -> None:
    """Print one row of CSV; None is an empty cell."""
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow(cells)
    print_result(row.getvalue(), end="")
