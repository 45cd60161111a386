"""The tables of all commands: with a rule and colours on a terminal, as plain aligned columns in a pipe."""

import sys
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

from mnist_cli.cli.console import print_result
from mnist_cli.names import one_line, printable

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2  # characters between the columns

Cells = Sequence[str]  # the text of a row, a cell for each column


def show(rows: Sequence[Cells], left: Container[int], styles: Sequence[str] = ()) -> None:
    """Print a table on stdout; the first of its `rows` are the headings.

    The columns whose numbers are in `left` are aligned on the left, the others on the right. `styles` are Rich's, one for
    each row below the headings.
    """
    if not sys.stdout.isatty():
        print_result(columns(rows, left))
        return
    from rich.console import Console
    from rich.text import Text

    headings, *body = rows
    drawn = empty()
    for number, heading in enumerate(headings):
        drawn.add_column(Text(printable(heading)), justify="left" if number in left else "right", overflow="fold")
    for number, row in enumerate(body):
        drawn.add_row(*(Text(printable(cell)) for cell in row), style=styles[number] if styles else "")
    Console().print(drawn)


def empty() -> "Table":
    """Return an empty table in the style that all tables on a terminal have."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0), pad_edge=False)


def columns(rows: Sequence[Cells], left: Container[int], indent: int = 0) -> str:
    """Return rows of cells as lines of aligned columns; those whose numbers are in `left` are aligned on the left."""
    rows = [list(map(one_line, row)) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]

    def line(row: Cells) -> str:
        cells = enumerate(zip(row, widths, strict=True))
        gap = " " * GAP
        return gap.join(cell.ljust(width) if number in left else cell.rjust(width) for number, (cell, width) in cells)

    return "\n".join(" " * indent + line(row).rstrip() for row in rows)
