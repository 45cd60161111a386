import pytest

from mnist_cli.serving.limits import Full, Limits, Shares


def test_an_address_alone_has_half_and_leaves_the_other_half_to_others():
    shares = Shares(Limits().requests)
    with shares.reserve("a") as take, shares.reserve("b") as take_other:
        for _ in range(64):
            take(1)
        with pytest.raises(Full):
            take(1)
        take_other(32)
        with pytest.raises(Full):
            take_other(1)


def test_an_address_that_has_nothing_may_take_what_is_free():
    shares = Shares(1)
    with shares.reserve("a") as take:
        take(1)
        assert not shares.has_room("b")
    assert shares.has_room("b")


def test_what_is_taken_is_given_back_also_after_an_error():
    shares = Shares(100)
    with pytest.raises(ZeroDivisionError), shares.reserve("a") as take:
        take(50 // 0)
    with shares.reserve("a") as take:
        take(50)
        with pytest.raises(Full):
            take(1)
    assert shares.free == 100
    assert shares.has_room("a", 100)
    with shares.reserve("a") as take:
        take(50)
    assert shares.free == 100
