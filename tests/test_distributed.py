import os
import subprocess
import sys

import pytest
import torch

from mnist_cli.models import checkpoints
from mnist_cli.training import distributed
from mnist_cli.training.distributed import Group

OPTIONS = [
    "--train-size",
    "1990",
    "--epochs",
    "2",
    "--augment",
    "none",
    "--optimizer",
    "sgd",
    "--learning-rate",
    "0.05",
]


def test_alone_nothing_is_exchanged():
    alone = distributed.join(torch.device("cpu"))
    assert alone == Group(rank=0, size=1)
    model, value = torch.nn.Linear(1, 1), torch.tensor(3.0)
    assert alone.wrap(model) is model
    assert alone.sum(value) is value
    assert [alone.any(True), alone.any(False)] == [True, False]
    distributed.leave()


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
def test_two_processes_reach_the_weights_of_one(mnist, torchrun, tmp_path):
    assert mnist("train", *OPTIONS, "--device", "cpu", "--name", "one").exit_code == 0
    both = torchrun(*OPTIONS, "--name", "two")
    assert both.returncode == 0, both.stderr
    assert both.stdout == "checkpoints/two/last.pt\n"  # printed by one of them
    assert both.stderr.count("Training mlp") == 1
    one, two = (checkpoints.load(tmp_path / "checkpoints" / name / "last.pt") for name in ("one", "two"))
    for name, tensor in one.model.state_dict().items():
        assert torch.allclose(tensor, two.model.state_dict()[name], atol=1e-5), name
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
