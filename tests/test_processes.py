import os
import time

import pytest

from mnist_cli.processes import Overdue, Worker, WorkerEnded

pytestmark = pytest.mark.slow
SECONDS = 60  # more than anything takes here


@pytest.fixture
def worker():
    worker = Worker([], int)
    yield worker
    worker.end()


def test_work_is_done_one_after_the_other_in_another_process(worker):
    first, second = (worker.run(SECONDS, os.getpid, ()) for _ in range(2))
    assert first == second != os.getpid()


def test_an_error_is_raised_and_the_process_goes_on(worker):
    with pytest.raises(ValueError, match="seven"):
        worker.run(SECONDS, int, ("seven",))
    assert worker.run(None, int, ("7",)) == 7


def test_a_process_that_takes_too_long_is_ended(worker):
    worker.run(SECONDS, int, ())
    with pytest.raises(Overdue):
        worker.run(0.1, time.sleep, (SECONDS,))
    assert not worker.is_alive


def test_the_end_of_a_process_is_an_error(worker):
    with pytest.raises(WorkerEnded):
        worker.run(SECONDS, os._exit, (1,))
    with pytest.raises(WorkerEnded):
        worker.run(SECONDS, int, ())
