import threading

import pytest

from mnist_cli.prefetch import one_ahead


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_results_are_in_order(count):
    assert list(one_ahead(lambda item: item * 10, range(count))) == [item * 10 for item in range(count)]


def test_one_item_is_worked_on_ahead_and_no_more():
    begun, second = [], threading.Event()

    def work(item):
        begun.append(item)
        if item == 1:
            second.set()
        return item

    results = one_ahead(work, iter(range(10)))
    assert next(results) == 0
    assert second.wait(timeout=60)  # although it was not requested yet
    assert begun == [0, 1]
    results.close()
    assert begun == [0, 1]


def test_a_single_item_needs_no_thread():
    assert list(one_ahead(lambda item: threading.current_thread(), [1])) == [threading.current_thread()]


def test_an_error_comes_after_the_results_before_it():
    results = one_ahead(lambda item: 1 // item, [1, 1, 0, 1])
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_thread_is_left_when_the_iteration_ends_or_is_closed():
    before = threading.active_count()
    results = one_ahead(str, range(5))
    next(results)
    assert threading.active_count() == before + 1
    results.close()
    assert threading.active_count() == before
    list(one_ahead(str, range(5)))
    assert threading.active_count() == before
