"""The names of classes: of the digits, unless a data set has others. Standard library only."""

DIGITS = tuple("0123456789")  # the classes of MNIST, and of every model whose data set has no others


def digit_in(name: str) -> int | None:
    """Return the digit that a class is, from its name, or None for another class."""
    return int(name) if name in DIGITS else None


def short_name(name: str) -> int | str:
    """Return what JSON calls a class: a digit by its number, as it did before there were others, another one by its name."""
    digit = digit_in(name)
    return name if digit is None else digit
