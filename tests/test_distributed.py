import os
import socket
import subprocess
import sys

import pytest
import torch

from mnist_cli.models import checkpoints
from mnist_cli.training import distributed
from mnist_cli.training.distributed import Group

TINY = ("--train-size", "500", "--model", "linear", "--batch-size", "100")

# What two processes have of each other, and what is left when they have parted.
EXCHANGE = """
import os
from datetime import timedelta
import torch
from mnist_cli.errors import ReportedElsewhereError
from mnist_cli.training import distributed

def threads():
    names = [open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")]
    return sum("gloo" in name for name in names)

with distributed.joined(torch.device("cpu")) as group:
    rank = group.rank
    assert group.size == 2
    assert group.gather({"rank": rank}) == [{"rank": 0}, {"rank": 1}]
    tensors = [torch.full((2, 3), rank + 1.0), torch.tensor([rank + 10.0])]
    group.sum_all(tensors)
    assert [tensor.tolist() for tensor in tensors] == [[[3.0] * 3] * 2, [21.0]]
    assert group.any(rank == 1)
    try:
        group.run_in_all(lambda: 1 / rank)
    except ZeroDivisionError:
        assert rank == 0
    except ReportedElsewhereError:
        assert rank == 1
    assert group.run_in_all(lambda: rank) == rank
    assert threads() > 0
assert threads() == 0
"""

GONE = """
import os
import time
from datetime import timedelta
import torch
from mnist_cli.errors import ProcessError
from mnist_cli.training import distributed

distributed.TIMEOUT = timedelta(seconds=6)
try:
    with distributed.joined(torch.device("cpu")) as group:
        group.any(False)
        if group.rank == 1:
            {what}
        group.any(False)
except ProcessError as error:
    print(error)
"""


def test_alone_nothing_is_exchanged():
    with distributed.joined(torch.device("cpu")) as alone:
        assert alone == Group(rank=0, size=1)
        value = torch.tensor(3.0)
        assert alone.sum(value) is value
        alone.sum_all([value])
        assert value == 3
        assert [alone.any(True), alone.any(False)] == [True, False]
        assert alone.gather("mine") == ["mine"]
        assert alone.run_in_all(lambda: 5) == 5
        with pytest.raises(ZeroDivisionError):
            alone.run_in_all(lambda: 1 / 0)


@pytest.fixture
def pair(tmp_path, data_dir):
    """Start two processes of one run, each with arguments for Python; return their exit statuses, outputs and errors."""

    def pair(first, second):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environment = {**os.environ, **shared, "MNIST_DATA_DIR": str(data_dir)}
        processes = [
            subprocess.Popen(
                [sys.executable, *map(str, arguments)],
                cwd=tmp_path,
                env={**environment, "RANK": str(rank)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, arguments in enumerate([first, second])
        ]
        outputs = [process.communicate() for process in processes]
        return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]

    return pair


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of threads from /proc")
def test_processes_exchange_values_and_no_thread_of_the_group_is_left_afterwards(pair):
    """A thread that lets go of a tensor while Python shuts down aborts the process, now and then."""
    assert pair(["-c", EXCHANGE], ["-c", EXCHANGE]) == [(0, "", ""), (0, "", "")]


@pytest.mark.parametrize(
    ("what", "message"),
    [("os._exit(3)", "rank 1 of this run ended\n"), ("time.sleep(60)", "rank 1 of this run has not responded for 0.1")],
    ids=["killed", "frozen"],
)
def test_a_process_that_is_gone_is_named_in_one_sentence(pair, what, message):
    code = GONE.format(what=what.replace("60", "15"))
    (status, output, _), _ = pair(["-c", code], ["-c", code])
    assert status == 0
    assert output.startswith(message)


INTERRUPTED = """
import os
import signal
import threading
import time
import torch
from mnist_cli.training import distributed

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore Ctrl-C

with distributed.joined(torch.device("cpu")) as group:
    group.any(False)
    if group.rank == 1:
        time.sleep(10)
        os._exit(0)
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
    group.any(False)
"""


def test_ctrl_c_ends_a_process_that_waits_for_a_frozen_one(pair):
    (status, _, told), _ = pair(["-c", INTERRUPTED], ["-c", INTERRUPTED])
    assert (status, told) == (130, "")


def train(*options):
    return ["-m", "mnist_cli", "train", "--device", "cpu", *TINY, *options]


def test_processes_with_different_configurations_are_refused_in_one_sentence(pair, tmp_path):
    first, second = pair(train("--epochs", "2", "--seed", "1"), train("--epochs", "2", "--seed", "2"))
    assert first[0] == 2
    assert (
        first[2]
        .splitlines()[-1]
        .startswith("Error: rank 1 of this run differs from rank 0 in its configuration, data or")
    )
    assert second == (1, "", "")
    assert not (tmp_path / "checkpoints").exists()


def test_when_the_first_process_refuses_the_others_end_quietly(pair, tmp_path):
    (tmp_path / "checkpoints/one").mkdir(parents=True)
    (tmp_path / "checkpoints/one/last.pt").touch()
    first, second = pair(train("--name", "one"), train("--name", "one"))
    assert first[0] == 2
    assert first[2].startswith("Error: there is a run 'one' already")
    assert second == (1, "", "")


def test_from_python_too_one_process_makes_the_run_and_nothing_is_printed(pair, tmp_path, data_dir):
    code = f"""
import mnist_cli as mnist
trained = mnist.train(model="linear", epochs=1, train_size=500, device="cpu", data_dir={str(data_dir)!r})
print(trained.path, len(trained.results), round(trained.val_accuracy, 6))
"""
    first, second = pair(["-c", code], ["-c", code])
    assert first == second
    (run,) = (tmp_path / "checkpoints").iterdir()
    assert first[1].startswith(f"checkpoints/{run.name}/last.pt 1 0.")
    assert (first[0], first[2]) == (0, "")
    assert checkpoints.load(run / "last.pt").config.train_size == 500


def test_when_a_process_is_killed_the_other_one_prints_how_to_resume(pair, tmp_path):
    killing = """
import os, signal
from mnist_cli.cli import app
from mnist_cli.training.loop import Trainer
measure = Trainer._measure
def killed(self, *arguments):
    if self.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(self, *arguments)
Trainer._measure = killed
app()
"""
    options = train("--name", "one", "--epochs", "5")
    first, second = pair(options, ["-c", killing, *options[2:]])
    assert second[0] == -9
    assert first[0] == 1
    assert first[2].splitlines()[-1] == (
        "Error: rank 1 of this run ended; resume with `mnist train --resume checkpoints/one/last.pt`"
    )
    assert "Traceback" not in first[2]
    assert len(checkpoints.load(tmp_path / "checkpoints/one/last.pt").metrics) == 1


@pytest.fixture
def torchrun(tmp_path, data_dir):
    """Run the program in two processes on this machine."""

    def torchrun(*options):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        command = [*launcher, "-m", "mnist_cli", "train", "--device", "cpu", *options]
        environment = {**os.environ, "MNIST_DATA_DIR": str(data_dir)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return torchrun


@pytest.mark.slow
@pytest.mark.parametrize("teacher", [(), ("--teacher", "pretrained")], ids=["alone", "taught"])
def test_two_processes_reach_the_weights_of_one(mnist, torchrun, tmp_path, teacher):
    """With augmentation and a teacher too; dropout draws other numbers in each process, and a batch norm sees its part of a batch."""
    options = ("--train-size", "1990", "--epochs", "2", "--augment", "elastic", "--optimizer", "sgd")
    options += ("--learning-rate", "0.05", *teacher)
    assert mnist("train", *options, "--device", "cpu", "--name", "one").exit_code == 0
    both = torchrun(*options, "--name", "two")
    assert both.returncode == 0, both.stderr
    assert both.stdout == "checkpoints/two/last.pt\n"  # printed by one of them
    assert both.stderr.count("Training mlp") == 1
    one, two = (checkpoints.load(tmp_path / "checkpoints" / name / "last.pt") for name in ("one", "two"))
    # A teacher computes other parts of a batch in each process, and the rejection threshold is a quantile of sums over all
    # weights: processors without AVX-512 round these differently.
    atol = 2e-4 if teacher else 1e-5
    for name, tensor in one.model.state_dict().items():
        assert torch.allclose(tensor, two.model.state_dict()[name], atol=atol), name
    for alone, shared in zip(one.metrics, two.metrics, strict=True):
        assert shared.train_loss == pytest.approx(alone.train_loss, rel=1e-4)
        assert shared.train_accuracy == pytest.approx(alone.train_accuracy, abs=1e-3)
        assert shared.val_loss == pytest.approx(alone.val_loss, rel=1e-4)
        assert shared.val_accuracy == pytest.approx(alone.val_accuracy, abs=2e-4)


@pytest.mark.slow
def test_a_shared_run_can_be_resumed_with_everything_random_in_it(torchrun, tmp_path):
    options = ("--train-size", "1000", "--model", "cnn", "--hidden", "4,8", "--augment", "elastic", "--dropout", "0.2")
    assert torchrun(*options, "--epochs", "1", "--patience", "3", "--name", "cnn").returncode == 0
    assert torchrun("--resume", "checkpoints/cnn/last.pt", "--epochs", "2").returncode == 0
    assert len(checkpoints.load(tmp_path / "checkpoints/cnn/last.pt").metrics) == 2
