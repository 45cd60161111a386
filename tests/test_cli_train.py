import pytest
import torch

from mnist_cli import checkpoints, idx, training

QUICK = ("--epochs", "1", "--batch-size", "1000", "--device", "cpu")


def test_a_run_leaves_a_checkpoint_and_curves_and_prints_the_path(mnist, tmp_path):
    done = mnist("train", *QUICK, "--name", "first", "--seed", "5")
    assert done.exit_code == 0
    assert done.stdout == "checkpoints/first/last.pt\n"
    assert "mnist evaluate checkpoints/first/last.pt" in done.stderr
    checkpoint = checkpoints.load(tmp_path / "checkpoints/first/last.pt")
    assert checkpoint.config.seed == 5
    assert checkpoint.val_accuracy > 0.8
    assert list((tmp_path / "runs/first").glob("events.*"))


def test_data_that_is_not_there_is_unpacked_with_one_line(mnist, tmp_path):
    done = mnist("train", *QUICK, "--data-dir", "fresh")
    assert done.exit_code == 0
    assert done.stderr.startswith("Unpacked the bundled MNIST files to fresh/MNIST/raw.\n")
    assert idx.find_faults(tmp_path / "fresh") == {}
    (idx.raw_dir(tmp_path / "fresh") / idx.VAL_LABELS.name).write_bytes(b"")
    done = mnist("train", *QUICK, "--data-dir", "fresh", "--name", "again")
    assert "Repaired fresh/MNIST/raw/t10k-labels-idx1-ubyte, which has 0 bytes, expected 10,008." in done.stderr


def test_an_existing_run_is_kept(mnist):
    assert mnist("train", *QUICK, "--name", "one").exit_code == 0
    again = mnist("train", *QUICK, "--name", "one")
    assert again.exit_code == 1
    assert again.stderr.splitlines()[-1].startswith("Error: there is a run 'one' already")
    assert mnist("train", *QUICK, "--name", "one", "--overwrite").exit_code == 0


def test_ctrl_c_keeps_the_last_finished_epoch_and_says_so(mnist, tmp_path, monkeypatch):
    train_epoch = training.Trainer.train_epoch

    def interrupted_in_the_second(self, progress):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return train_epoch(self, progress)

    monkeypatch.setattr(training.Trainer, "train_epoch", interrupted_in_the_second)
    done = mnist("train", *QUICK, "--epochs", "3", "--name", "one")
    assert done.exit_code == 130
    assert "Stopped; checkpoints/one/last.pt holds epoch 1." in done.stderr
    assert len(checkpoints.load(tmp_path / "checkpoints/one/last.pt").metrics) == 1


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--epochs", "0"], 2, "--epochs"),
        (["--epochs", "many"], 2, "--epochs"),
        (["--learning-rate", "0"], 1, "Error: learning_rate must be a number above 0"),
        (["--learning-rate", "nan"], 1, "Error: learning_rate must be a number above 0"),
        (["--name", "../up"], 1, "Error: '../up' cannot name a run"),
        (["--device", "cuda:99"], 1, "Error: there is no device 'cuda:99'"),
    ],
)
def test_a_bad_option_is_one_sentence(mnist, options, status, message):
    done = mnist("train", *options)
    assert done.exit_code == status
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_no_room_for_the_checkpoint_is_one_sentence(mnist, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device", "checkpoints/full/last.pt")

    monkeypatch.setattr(torch, "save", fail)
    done = mnist("train", *QUICK, "--name", "full")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "Error: checkpoints/full/last.pt: No space left on device"
