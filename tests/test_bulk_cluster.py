"""The executor of a Dask cluster, with a real scheduler and two real workers on this machine."""

import io
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image
from test_bulk_output import write_archive, written

from mnist_cli.bulk import executors, output, plan, work
from mnist_cli.bulk.executors import Crew
from mnist_cli.config import PRETRAINED
from mnist_cli.errors import MnistError
from mnist_cli.models import backends
from mnist_cli.recognition.pipeline import Options

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow
SECONDS = 120  # more than anything takes here


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler with two workers, and the process of the scheduler."""
    file = tmp_path / "scheduler.json"
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    programs = [["scheduler", "--port", "0"], *[["worker", "--nthreads", "1", "--local-directory", str(tmp_path)]] * 2]
    with open(os.devnull, "w") as nowhere:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{name}", *more, *common], stdout=nowhere, stderr=nowhere
            )
            for name, *more in programs
        ]
    try:
        address = distributed.utils.json_load_robust(file, timeout=SECONDS)["address"]  # it is empty for a moment
        with distributed.Client(address, timeout=SECONDS, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=SECONDS)
        yield address, processes[0]
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(SECONDS)


def test_a_cluster_writes_what_one_machine_writes_also_when_a_worker_or_the_scheduler_is_killed(
    cluster, tmp_path, monkeypatch, val
):
    address, scheduler = cluster
    monkeypatch.chdir(tmp_path)
    files = [io.BytesIO() for _ in range(100)]
    for content, image in zip(files, val.images[:100, 0].numpy(), strict=True):
        Image.fromarray(image).save(content, "PNG")
    for number in range(10):
        write_archive(f"{number}.tar", [content.getvalue() for content in files[number:]])
    shards = plan.split_evenly(["*.tar"])
    job = work.job_of(backends.load(PRETRAINED, "cpu"), Options(), "csv")
    alone = Crew(ThreadPoolExecutor(1), 1)
    output.write(job, shards, tmp_path / "alone", alone, lambda counts: None)

    with executors.cluster(address) as crew, distributed.Client(address, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())[:1]
        output.write(job, shards, tmp_path / "out", crew, lambda counts: pids and os.kill(pids.pop(), signal.SIGKILL))
    assert written(tmp_path / "out") == written(tmp_path / "alone")

    with (
        pytest.raises(MnistError, match=r"the cluster at .* ended; start it, and type the same command again"),
        executors.cluster(address) as crew,
    ):
        output.write(job, shards, tmp_path / "stopped", crew, lambda counts: scheduler.kill())
    assert 0 < len(written(tmp_path / "stopped")) < len(shards)
    output.write(job, shards, tmp_path / "stopped", alone, lambda counts: None)
    assert written(tmp_path / "stopped") == written(tmp_path / "alone")
