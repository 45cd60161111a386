"""What `mnist predict` answers, written a batch at a time: as a table, as plain lines, as JSON or as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from mnist_cli.cli import tables
from mnist_cli.cli.console import printable
from mnist_cli.cli.tables import GAP
from mnist_cli.recognition.answers import Answer, likeliest
from mnist_cli.results import percent

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from mnist_cli.recognition.predictions import Prediction

COLUMNS = ("path", "digit", "confidence", "reason", *(f"p{digit}" for digit in range(10)))
BOX = ("x", "y", "width", "height")  # px in the picture, where it may have several digits
NARROWEST = 12  # characters for the names of files, however narrow the terminal is


class Writer(Protocol):
    """Prints answers, the next batch below the last."""

    def write(self, answers: list[Answer]) -> None:
        """Print a batch of answers; the errors among them have been shown on stderr."""


class LineWriter:
    """Prints a line for each picture, such as `seven.png: 7  99.8 %`."""

    def __init__(self, top_k: int) -> None:
        """Show the `top_k` likeliest digits, or for 0 the likeliest."""
        self.top_k = top_k

    def write(self, answers: list[Answer]) -> None:
        """Print the answers."""
        lines = [f"{printable(answer.path)}: {self._line(answer)}\n" for answer in answers if not answer.error]
        typer.echo("".join(lines), nl=False)

    def _line(self, answer: Answer) -> str:
        if answer.found:
            return answer.text.replace("\n", " ")
        return "  ".join(word for pair in _verdict(answer, self.top_k) for word in pair)


class JsonWriter:
    """Prints one object a line for each file."""

    def __init__(self, top_k: int, many: bool) -> None:
        """Add the `top_k` likeliest digits, unless 0, and all digits in the picture if there may be `many`."""
        self.top_k, self.many = top_k, many

    def write(self, answers: list[Answer]) -> None:
        """Print the answers."""
        lines = [json.dumps(answer.values(self.top_k, self.many), allow_nan=False) + "\n" for answer in answers]
        typer.echo("".join(lines), nl=False)


class CsvWriter:
    """Prints a header and a row for each file, or for each digit in it."""

    def __init__(self, many: bool) -> None:
        """Print the header, which has the box of each digit if a picture may have `many`."""
        self.many = many
        _print_row((*COLUMNS, *BOX) if many else COLUMNS)

    def write(self, answers: list[Answer]) -> None:
        """Print the answers."""
        for answer in answers:
            for found in answer.found:
                _print_row([answer.path, *_csv_cells(found.prediction, found.prediction.reason), *found.box])
            if not answer.found:
                box = [None] * len(BOX) if self.many else []
                _print_row([answer.path, *_csv_cells(answer.prediction, answer.reason), *box])


class TableWriter:
    """Prints a table on a terminal; its columns are as wide in every batch."""

    def __init__(self, console: "Console", names: list[str], top_k: int, many: bool, show: bool) -> None:
        """Make room for `names`; if asked to `show` it, also for what the model saw."""
        from rich.cells import cell_len

        self.console, self.top_k, self.many, self.show, self.is_first = console, top_k, many, show, True
        widths = {"digits": 40} if many else {"digit": 5, "confidence": 14}
        if show:
            widths["what the model saw"] = 28
        room = console.width - sum(widths.values()) - GAP * (len(widths) + 1)
        longest = max(cell_len(printable(Path(name))) for name in names)
        self.widths = {"file": max(NARROWEST, min(longest, room)), **widths}

    def write(self, answers: list[Answer]) -> None:
        """Print the answers, the first of them below the headings."""
        table = tables.empty()
        table.show_header = self.is_first
        for heading, width in self.widths.items():
            right = heading in {"digit", "confidence"}
            table.add_column(heading, width=width, overflow="fold", justify="right" if right else "left")
        for answer in answers:
            if not answer.error:
                table.add_row(*self._cells(answer))
                if self.show or self.top_k > 1:  # a row has several lines, so an empty one parts it from the next
                    table.add_row()
        if table.row_count:
            self.console.print(table)
            self.is_first = False

    def _cells(self, answer: Answer) -> "Iterator[Text]":
        """Yield the cells of a row: what is certain in green, what is not in yellow, what is less likely dim."""
        from rich.text import Text

        from mnist_cli.reporting.explanations import half_blocks

        yield Text(printable(answer.path))
        if answer.found:
            yield Text(answer.text, "bold green")
            return
        style = "yellow" if answer.digit is None else "bold green"
        if self.many:
            yield Text(str(answer.reason), style)
            return
        for first, *others in zip(*_verdict(answer, self.top_k), strict=True):
            yield Text("\n").join([Text(first, style), *(Text(other, "dim") for other in others)])
        if self.show and answer.prediction and answer.prediction.frame is not None:
            yield half_blocks(answer.prediction.frame)


def _verdict(answer: Answer, top_k: int) -> list[tuple[str, str]]:
    """Return the digit and how sure it is, or `?` and the reason, and what else the `top_k` likeliest are."""
    if answer.prediction is None:
        return [("?", str(answer.reason))]
    if answer.reason:
        others = [] if answer.reason == "no ink" else likeliest(answer.prediction, top_k)
        return [("?", answer.reason), *((str(digit), percent(share, 1)) for digit, share in others)]
    return [(str(digit), percent(share, 1)) for digit, share in likeliest(answer.prediction, max(top_k, 1))]


def _print_row(cells: Iterable[object]) -> None:
    """Print one row of CSV; None is an empty cell."""
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow(cells)
    typer.echo(row.getvalue(), nl=False)


def _csv_cells(prediction: "Prediction | None", reason: str | None) -> list[object]:
    if prediction is None:
        return [None, None, reason, *[None] * 10]
    return [prediction.digit, prediction.confidence, reason, *prediction.probabilities]
