import asyncio

import pytest

from mnist_cli.serving.batching import Batcher


def ask_all(work, items, **options):
    """Ask for all items at once and return what each of them got, an exception as it is."""

    async def worked(some):
        await asyncio.sleep(0)
        return work(some)

    async def ask():
        batcher = Batcher(worked, **{"max_size": 10, "wait": 0.01, **options})
        return await asyncio.gather(*(batcher.submit(item) for item in items), return_exceptions=True)

    return asyncio.run(ask())


def test_requests_that_arrive_together_are_one_batch_with_a_result_each():
    batches = []
    assert ask_all(lambda items: batches.append(items) or [item * 10 for item in items], [1, 2, 3]) == [10, 20, 30]
    assert batches == [[1, 2, 3]]


def test_a_batch_is_never_larger_than_allowed():
    batches = []
    ask_all(lambda items: batches.append(items) or items, range(5), max_size=2)
    assert batches == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("allowed", "expected"), [(1, [[1], [2, 3]]), (2, [[1], [2], [3]])])
def test_the_next_batch_gathers_while_as_many_as_allowed_are_worked_on(allowed, expected):
    batches = []

    async def ask():
        may_go = asyncio.Event()

        async def work(items):
            batches.append(items)
            await may_go.wait()
            return items

        batcher = Batcher(work, max_size=10, wait=0, batches=allowed)
        asked = []
        for item in (1, 2, 3):
            asked.append(asyncio.create_task(batcher.submit(item)))
            if item < 3 - (allowed == 1):
                while len(batches) < item:
                    await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert len(batches) == allowed
        may_go.set()
        return await asyncio.gather(*asked)

    assert asyncio.run(ask()) == [1, 2, 3]
    assert batches == expected


def test_a_later_request_is_handled():
    async def work(items):
        return items

    async def ask():
        batcher = Batcher(work, max_size=1, wait=0)
        return [await batcher.submit(item) for item in range(20)]

    assert asyncio.run(ask()) == [*range(20)]


def test_an_error_is_raised_for_the_whole_batch_and_later_requests_succeed():
    def work(items):
        if 0 in items:
            raise ValueError("no zeros")
        return items

    first, second, third = ask_all(work, [0, 1, 2], max_size=2)
    assert str(first) == str(second) == "no zeros"
    assert third == 2


def test_too_few_results_are_an_error_and_later_requests_succeed():
    *wrong, right = ask_all(lambda items: items[:1], [1, 2, 3], max_size=2)
    assert [type(error) for error in wrong] == [ValueError, ValueError]
    assert right == 3


def test_a_cancelled_request_is_left_out():
    batches = []

    async def work(items):
        batches.append(items)
        return items

    async def ask():
        batcher = Batcher(work, max_size=10, wait=0.01)
        gone, stays = (asyncio.create_task(batcher.submit(item)) for item in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(ask()) == 2
    assert batches == [[2]]


def ask_in_order(asked, **options):
    """Submit (item, address) pairs to a batcher of one at a time, and return in which order they were worked on."""
    order = []

    async def work(items):
        order.extend(items)
        await asyncio.sleep(0)
        return items

    async def ask():
        batcher = Batcher(work, **{"max_size": 1, "wait": 0.01, **options})
        return await asyncio.gather(*(batcher.submit(*pair) for pair in asked))

    assert asyncio.run(ask()) == [item for item, _ in asked]
    return order


def test_addresses_take_turns():
    asked = [(1, "a"), (2, "a"), (3, "a"), (4, "b"), (5, "c")]
    assert ask_in_order(asked) == [1, 4, 5, 2, 3]
    assert ask_in_order(asked, max_size=2) == [1, 2, 4, 5, 3]  # a batch is of one address


def test_an_address_has_no_more_batches_at_once_than_allowed_and_another_has_one_beside_them():
    running, most, beside = [], [], []

    async def work(items):
        running.extend(items)
        most.append(sum(item[0] == "a" for item in running))
        beside.append(len(running))
        await asyncio.sleep(0.01)
        for item in items:
            running.remove(item)
        return items

    async def ask():
        batcher = Batcher(work, max_size=1, wait=0)
        return await asyncio.gather(*(batcher.submit(item, item[0]) for item in ("a1", "a2", "a3", "b1")))

    assert asyncio.run(ask()) == ["a1", "a2", "a3", "b1"]
    assert (max(most), max(beside)) == (1, 2)


def test_an_item_that_waits_too_long_is_given_up_but_not_one_that_is_worked_on():
    async def work(items):
        await asyncio.sleep(0.2)
        return items

    async def ask():
        batcher = Batcher(work, max_size=1, wait=0, max_wait=0.05)
        return await asyncio.gather(*map(batcher.submit, (1, 2)), return_exceptions=True)

    first, second = asyncio.run(ask())
    assert first == 1
    assert isinstance(second, TimeoutError)
