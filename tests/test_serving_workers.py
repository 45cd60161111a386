import asyncio
import multiprocessing
import os
import sys
import time

import pytest

from mnist_cli.processes import Overdue, WorkerEnded
from mnist_cli.serving.workers import Workers, limit_memory

SECONDS = 60  # more than any worker needs here


@pytest.fixture
def make():
    made = []

    def make(count=1, prepare=int):
        made.append(Workers(count, [], prepare))
        return made[-1]

    yield make
    for workers in made:
        workers.stop()


def run(workers, *work, seconds=SECONDS):
    return asyncio.run(workers.run(seconds, *work))


@pytest.mark.slow
def test_a_worker_is_another_process_that_is_used_again(make):
    workers = make()
    first, second = run(workers, os.getpid), run(workers, os.getpid)
    assert first == second != os.getpid()


@pytest.mark.slow
def test_one_more_is_started_than_work(make):
    workers, others = make(2), set(multiprocessing.active_children())

    async def ask():
        sleeping = asyncio.create_task(workers.run(SECONDS, time.sleep, SECONDS))
        end = time.monotonic() + SECONDS
        while len(set(multiprocessing.active_children()) - others) < 2:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        workers.stop()
        with pytest.raises(WorkerEnded):
            await sleeping

    asyncio.run(ask())


@pytest.mark.slow
def test_what_the_work_raises_is_raised_and_the_worker_stays(make):
    workers = make()
    before = run(workers, os.getpid)
    with pytest.raises(ValueError, match="invalid literal"):
        run(workers, int, "seven")
    with pytest.raises(FileNotFoundError):
        run(workers, os.stat, "/no/such/file")
    assert run(workers, os.getpid) == before


@pytest.mark.slow
def test_an_overdue_worker_is_ended_and_replaced(make):
    workers = make()
    before = run(workers, os.getpid)
    with pytest.raises(Overdue):
        run(workers, time.sleep, SECONDS, seconds=0.05)
    assert not is_running(before)
    assert run(workers, os.getpid) != before


@pytest.mark.slow
def test_a_worker_that_ends_raises_an_error_and_is_replaced(make):
    workers = make()
    before = run(workers, os.getpid)
    with pytest.raises(WorkerEnded):
        run(workers, os._exit, 3)
    assert run(workers, os.getpid) != before


@pytest.mark.slow
def test_an_idle_worker_that_ended_is_replaced_without_an_error(make):
    workers = make()
    before = run(workers, os.getpid)
    os.kill(before, 9)
    time.sleep(0.2)
    assert run(workers, os.getpid) != before


@pytest.mark.slow
def test_a_cancelled_caller_does_not_free_the_worker(make):
    workers = make()

    async def ask():
        before = await workers.run(SECONDS, os.getpid)
        sleeping = asyncio.create_task(workers.run(SECONDS, time.sleep, 0.5))
        await asyncio.sleep(0.1)
        sleeping.cancel()
        start = time.monotonic()
        return before, await workers.run(SECONDS, os.getpid), time.monotonic() - start

    before, after, seconds = asyncio.run(ask())
    assert before == after
    assert seconds > 0.2


@pytest.mark.slow
def test_workers_are_stopped_while_they_work_and_others_are_started_later(make):
    workers = make()

    async def ask():
        sleeping = asyncio.create_task(workers.run(SECONDS, time.sleep, SECONDS))
        await asyncio.sleep(0.2)
        workers.stop()
        with pytest.raises(WorkerEnded):
            await sleeping
        with pytest.raises(WorkerEnded):
            await workers.run(SECONDS, os.getpid)
        workers.start()
        return await workers.run(SECONDS, os.getpid)

    assert asyncio.run(ask()) != os.getpid()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no such limit")
def test_a_worker_may_have_no_more_memory_than_it_is_allowed():
    workers = Workers(1, [], limit_memory, 1 << 28)
    try:
        with pytest.raises(MemoryError):
            run(workers, bytes, 1 << 29)
        assert len(run(workers, bytes, 1 << 20)) == 1 << 20
    finally:
        workers.stop()


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
