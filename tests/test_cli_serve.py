import pytest

pytest.importorskip("fastapi")


def test_a_port_that_cannot_be_is_wrong_usage(mnist):
    assert mnist("serve", "--port", 70_000).exit_code == 2
