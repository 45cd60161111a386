import os
import signal
import time

import pytest

from mnist_cli.bulk import executors
from mnist_cli.processes import WorkerEnded

SECONDS = 60  # more than anything takes here


def test_results_are_in_order_and_few_are_submitted_ahead():
    submitted = []

    class Executor:
        def submit(self, number):
            submitted.append(number)
            return number

    crew = executors.Crew(Executor(), 2)
    for number, (item, result) in enumerate(crew.map(crew.executor.submit, range(100))):
        assert item == result == number
        assert len(submitted) <= number + 5


@pytest.mark.slow
def test_work_is_shared_by_processes_of_one_thread_each():
    before = os.environ.get("OMP_NUM_THREADS")
    with executors.local(2) as crew:
        first = crew.executor.submit(time.sleep, 0.5)
        assert crew.executor.submit(os.getenv, "OMP_NUM_THREADS").result(SECONDS) == "1"
        assert crew.executor.submit(os.getpid).result(SECONDS) != os.getpid()
        first.result(SECONDS)
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.slow
def test_when_a_process_ends_another_one_takes_its_place():
    with executors.local(1) as crew:
        pid = crew.executor.submit(os.getpid).result(SECONDS)
        with pytest.raises(WorkerEnded) as ended:
            crew.executor.submit(os.kill, pid, signal.SIGKILL).result(SECONDS)
        assert executors.has_died(ended.value)
        assert crew.executor.submit(os.getpid).result(SECONDS) != pid


@pytest.mark.slow
def test_at_the_end_of_the_block_processes_end_at_once():
    with executors.local(1) as crew:
        crew.executor.submit(int).result(SECONDS)
        busy = crew.executor.submit(time.sleep, 10 * SECONDS)
        begin = time.monotonic()
    assert time.monotonic() - begin < SECONDS
    assert executors.has_died(busy.exception())
