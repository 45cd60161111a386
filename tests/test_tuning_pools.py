import os
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor

import pytest

from mnist_cli.tuning.pools import LocalPool


@pytest.fixture
def pool():
    pool = LocalPool(2)
    yield pool
    pool.stop()


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def ends(process):
    deadline = time.monotonic() + 30
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(process)


@pytest.mark.slow
def test_work_is_done_in_processes_that_are_used_again(pool):
    first, second = pool.submit(os.getpid), pool.submit(os.getpid)
    used = {first.result(), second.result()}
    assert len(used) == 2
    assert os.getpid() not in used
    assert pool.submit(os.getpid).result() in used


@pytest.mark.slow
def test_a_process_that_is_killed_takes_no_other_with_it_and_is_replaced(pool):
    slow, killed = pool.submit(time.sleep, 1), pool.submit(os._exit, 9)
    with pytest.raises(BrokenExecutor):
        killed.result()
    again = pool.submit(os.getpid)
    assert slow.result() is None
    assert again.result()


@pytest.mark.slow
def test_stopping_ends_a_process_in_the_middle_of_its_work():
    pool = LocalPool(1)
    process = pool.submit(os.getpid).result()
    pool.submit(time.sleep, 600)
    pool.stop()
    assert ends(process)


@pytest.mark.slow
def test_the_processes_of_a_search_that_was_killed_end_with_it():
    code = (
        "import os, time\nfrom mnist_cli.tuning.pools import LocalPool\n"
        "if __name__ == '__main__':\n"
        "    pool = LocalPool(1); print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 600); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -9
    assert ends(int(killed.stdout))
