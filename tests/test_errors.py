import inspect

import pytest

from mnist_cli import errors

OWN = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("error", OWN)
def test_every_error_is_a_mnist_error_and_named_in_the_tree(error):
    # A stopped run is no error: Python programs handle it as the Ctrl-C that it is.
    assert issubclass(error, KeyboardInterrupt if error is errors.StoppedError else errors.MnistError)
    assert error.__name__ in inspect.getdoc(errors)


def test_only_the_first_line_of_another_librarys_error_is_shown_shortened():
    assert errors.first_line(ValueError("one\ntwo")) == "one"
    assert errors.first_line(ValueError("  \n")) == "ValueError"
    assert len(errors.first_line(ValueError("x" * 10_000))) == errors.MAX_SHOWN_CHARACTERS + 1


@pytest.mark.parametrize(
    ("kind", "value", "bounds", "sentence"),
    [
        ("int_parsing", "x", {}, "'x' is not a whole number"),
        ("float_parsing", "x", {}, "'x' is not a number"),
        ("bool_parsing", "perhaps", {}, "'perhaps' is neither true nor false"),
        ("greater_than_equal", "-1", {"ge": 0}, "'-1' is less than 0"),
        ("less_than_equal", 12, {"le": 9.0}, "'12' is more than 9"),
        ("missing", None, {}, "it is missing"),
        ("of another kind", "x", {"error": "y"}, "as pydantic says it"),
    ],
)
def test_an_invalid_input_is_described_in_plain_words(kind, value, bounds, sentence):
    assert errors.input_fault(kind, value, "as pydantic says it", **bounds) == sentence


def test_of_a_long_input_only_the_beginning_is_shown():
    assert len(errors.input_fault("int_parsing", "x" * 100_000, "")) < 300
