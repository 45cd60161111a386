import inspect

import pytest

from mnist_cli import errors


@pytest.mark.parametrize("error", [error for _, error in inspect.getmembers(errors, inspect.isclass)])
def test_every_error_is_a_mnist_error_and_named_in_the_tree(error):
    assert issubclass(error, errors.MnistError)
    assert error.__name__ in inspect.getdoc(errors)


def test_of_what_another_program_says_the_first_line_is_shown_in_short():
    assert errors.first_line(ValueError("one\ntwo")) == "one"
    assert errors.first_line(ValueError("  \n")) == "ValueError"
    assert len(errors.first_line(ValueError("x" * 10_000))) == errors.LONGEST + 1
