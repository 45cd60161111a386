import inspect

import pytest

from mnist_cli import errors


@pytest.mark.parametrize("error", errors.MnistError.__subclasses__())
def test_every_error_is_a_mnist_error_and_named_in_the_tree(error):
    assert issubclass(error, errors.MnistError)
    assert error.__name__ in inspect.getdoc(errors)
