"""Searches on several machines, which are programs here: a Dask cluster, and a PostgreSQL that two searches share."""

import csv
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from searching import SMALL

pytestmark = pytest.mark.slow

SECONDS = 240  # at most, on a busy machine


class Programs:
    """Programs that end with the test."""

    def __init__(self, folder):
        self.folder, self.started = folder, []

    def start(self, *arguments, cwd=None):
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)],
            cwd=cwd or self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def tune(self, *arguments, cwd=None):
        return self.start("mnist_cli", "tune", *SMALL, "--name", "study", *arguments, cwd=cwd)

    def stop(self):
        for process in self.started:
            with suppress(ProcessLookupError):
                process.kill()
            process.communicate()


@pytest.fixture
def programs(tmp_path, data_dir, monkeypatch):
    monkeypatch.setenv("MNIST_DATA_DIR", str(data_dir))
    programs = Programs(tmp_path)
    yield programs
    programs.stop()


def wait_for(condition, process):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def trials_in(folder):
    return len(list(folder.glob("runs/study/trials/*")))


def assert_each_trial_is_there_once(folder, count):
    with (folder / "runs/study/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == list(range(count))
    assert {row["state"] for row in rows} == {"complete"}
    assert len({row["weights"] for row in rows}) == count


@pytest.fixture
def cluster(programs, tmp_path):
    """The address of a scheduler on loopback, and the processes of its two workers."""
    distributed = pytest.importorskip("distributed")
    quiet = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", tmp_path / "scheduler.json")
    scheduler = programs.start("distributed.cli.dask_scheduler", "--port", "0", *quiet)
    wait_for((tmp_path / "scheduler.json").exists, scheduler)
    # The file is empty for a moment.
    written = distributed.utils.json_load_robust(tmp_path / "scheduler.json", timeout=SECONDS)
    workers = [programs.start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", *quiet) for _ in range(2)]
    return written["address"], scheduler, workers


def test_a_cluster_trains_each_trial_though_a_worker_is_killed_and_the_end_of_the_cluster_is_told(
    programs, cluster, tmp_path
):
    address, scheduler, workers = cluster
    search = programs.tune("--trials", "4", "--cluster", address)
    wait_for(lambda: trials_in(tmp_path) >= 1, search)
    workers[0].kill()
    wait_for(lambda: trials_in(tmp_path) == 4, search)
    scheduler.kill()  # while the best are trained again
    out, err = search.communicate(timeout=SECONDS)
    assert (search.returncode, out) == (1, ""), err
    assert err.splitlines()[-1].startswith(f"Error: the Dask cluster at {address} ended")
    assert "Traceback" not in err, err
    assert_each_trial_is_there_once(tmp_path, 4)


@pytest.fixture
def database(tmp_path_factory):
    """The URL of a PostgreSQL that listens on a socket in a folder."""
    pytest.importorskip("psycopg")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("there is no PostgreSQL from Debian here")
    binaries = found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))  # the path of a socket is short
    as_user = {}
    if os.getuid() == 0:  # as which PostgreSQL does not run
        with suppress(KeyError):
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_user}
    make = [binaries / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "-N"]
    subprocess.run([*make], check=True, **quiet)
    settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
    server = subprocess.Popen([binaries / "postgres", "-D", folder / "data", *settings], **quiet)
    wait_for(lambda: (folder / ".s.PGSQL.5432").exists(), server)
    yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    server.send_signal(signal.SIGINT)
    server.wait()
    shutil.rmtree(folder)


def test_two_searches_share_a_database_and_one_that_is_killed_loses_nothing(programs, database, tmp_path):
    machines = [tmp_path / "one", tmp_path / "other"]
    for machine in machines:
        machine.mkdir()
    given = ("--trials", "4", "--jobs", "1", "--storage", database)
    killed, other = (programs.tune(*given, cwd=machine) for machine in machines)
    wait_for(lambda: trials_in(machines[0]) >= 1, killed)
    killed.kill()
    killed.wait()
    wait_for(lambda: trials_in(machines[1]) == 4, other)
    other.send_signal(signal.SIGINT)  # while the best are trained again
    out, err = other.communicate(timeout=SECONDS)
    assert (other.returncode, out) == (130, ""), err
    assert_each_trial_is_there_once(machines[1], 4)
