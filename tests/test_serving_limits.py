import pytest

from mnist_cli.serving.limits import Full, Limits, SharedPool


def test_an_address_alone_has_half_and_leaves_the_other_half_to_others():
    pool = SharedPool(Limits().requests)
    with pool.reserve("a") as take, pool.reserve("b") as take_other:
        for _ in range(64):
            take(1)
        with pytest.raises(Full):
            take(1)
        take_other(32)
        with pytest.raises(Full):
            take_other(1)


def test_an_address_that_holds_nothing_may_take_the_last_free_slot():
    pool = SharedPool(1)
    with pool.reserve("a") as take:
        take(1)
        assert not pool.has_room("b")
    assert pool.has_room("b")


def test_a_reservation_is_released_also_after_an_error():
    pool = SharedPool(100)
    with pytest.raises(ZeroDivisionError), pool.reserve("a") as take:
        take(50 // 0)
    with pool.reserve("a") as take:
        take(50)
        with pytest.raises(Full):
            take(1)
    assert pool.free == 100
    assert pool.has_room("a", 100)
    with pool.reserve("a") as take:
        take(50)
    assert pool.free == 100
