import errno
import os
import pickle
import random
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import CheckpointError
from mnist_cli.models import architectures, checkpoints, pretrained
from mnist_cli.results import EpochResult
from mnist_cli.training import loop, session
from mnist_cli.training.loop import Trainer


class RunsCode:
    """What an attacker would hide in a checkpoint."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def change(trained, path, **changes):
    """Write a copy of a good checkpoint with some of its entries changed."""
    torch.save({**torch.load(trained, weights_only=True), **changes}, path)
    return path


def measured_at(val_accuracy, trained, path, **values):
    """Write a copy of a good checkpoint which claims that val accuracy."""
    (result,) = torch.load(trained, weights_only=True)["metrics"]
    return change(trained, path, metrics=[{**result, "val_accuracy": val_accuracy, **values}])


def test_save_and_load_give_the_same_logits(trained, val):
    original = checkpoints.load(trained)
    again = trained.parent / "again.pt"
    content = torch.load(trained, weights_only=True)
    torch.save(content, again)
    images = val.images[:50]
    assert torch.equal(checkpoints.load(again).model(images), original.model(images))
    assert not original.model.training
    assert original.val_accuracy > 0.85


def test_a_checkpoint_holds_tensors_and_plain_values_with_all_that_resuming_needs(trained):
    content = torch.load(trained, weights_only=True)
    assert content["version"] == 1
    assert content["model"] == {
        "name": "mlp",
        "arguments": {"hidden": [256, 256], "activation": "relu", "dropout": 0.0},
    }
    assert content["config"]["epochs"] == 1
    assert content["metrics"][0]["epoch"] == 1
    assert set(content["versions"]) == {"mnist_cli", "torch", "python"}
    assert content["trainer"]["epoch"] == 1
    assert "state" in content["trainer"]["optimizer"]


def test_an_interrupted_save_leaves_the_old_checkpoint(trained, val, tmp_path, monkeypatch):
    path = tmp_path / "last.pt"
    path.write_bytes(trained.read_bytes())
    old = checkpoints.load(path)

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        session.save(path, Trainer(old.model, val[:1], val[:1], old.config))
    assert checkpoints.load(path).metrics == old.metrics
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("maker", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(tmp_path, maker):
    marker = tmp_path / "planted"
    maker({"weights": RunsCode(str(marker))}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt is (refused|not a checkpoint)"):
        checkpoints.load(tmp_path / "evil.pt")
    assert not marker.exists()


def test_a_whole_module_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save(nn.Flatten(), tmp_path / "module.pt")
    with pytest.raises(CheckpointError, match=r"would run foreign code \(torch.nn.modules.flatten.Flatten\)"):
        checkpoints.load(tmp_path / "module.pt")


def test_a_checkpoint_of_another_program_is_recognized(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("other.pt", "list.pt"):
        with pytest.raises(CheckpointError, match=f"{name} is a checkpoint of another program"):
            checkpoints.load(tmp_path / name)


def truncated(good):
    return good[: len(good) // 2]


def flipped(good):
    return good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 0xFF]) + good[len(good) // 2 + 1 :]


@pytest.mark.parametrize(
    "damage",
    [truncated, flipped, lambda good: b"", lambda good: b"hello", lambda good: bytes(1000), lambda good: good[4:]],
    ids=["truncated", "flipped", "empty", "text", "zeros", "headless"],
)
def test_a_corrupted_checkpoint_is_refused_by_name(trained, tmp_path, damage):
    path = tmp_path / "bad.pt"
    path.write_bytes(damage(trained.read_bytes()))
    with pytest.raises(CheckpointError, match=r"bad\.pt"):
        checkpoints.load(path)


@pytest.mark.slow
def test_a_corrupted_pickle_is_called_corrupted(trained, tmp_path):
    def rewrite(content):
        with zipfile.ZipFile(trained) as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
            for name in good.namelist():
                bad.writestr(name, content if name.endswith("data.pkl") else good.read(name))

    with zipfile.ZipFile(trained) as good:
        pickled = good.read(next(name for name in good.namelist() if name.endswith("data.pkl")))
    generator = random.Random(0)
    for _ in range(100):
        mutated = bytearray(pickled)
        mutated[generator.randrange(len(mutated))] = generator.randrange(256)
        rewrite(bytes(mutated))
        with suppress(CheckpointError):  # and no other
            checkpoints.load(tmp_path / "bad.pt")
    rewrite(b"")
    with pytest.raises(CheckpointError, match="not a checkpoint, or it is corrupted"):
        checkpoints.load(tmp_path / "bad.pt")


def test_a_zip_of_something_else_is_not_a_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("hello", "world")
    with pytest.raises(CheckpointError, match="not a checkpoint, or it is corrupted"):
        checkpoints.load(tmp_path / "some.zip")


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {}},
        {"weights": [1]},
        {"weights": {**architectures.build("mlp").state_dict(), "layers.1.weight": torch.zeros(2, 2)}},
        {"model": {"name": "unheard-of", "arguments": {}}},
        {"model": {"name": "mlp", "arguments": {"width": 3}}},
        {"model": 7},
        {"metrics": None},
        {"metrics": [{"epoch": 1}]},
        {"metrics": [dict.fromkeys(EpochResult.__dataclass_fields__)]},
        {"weights": {**architectures.build("mlp").state_dict(), "layers.1.bias": torch.full((256,), torch.nan)}},
        {"config": {"hidden": [1], "future": 1}},
        {"config": {"hidden": [1], "epochs": "ten"}},
    ],
    ids=[
        "no weights",
        "list",
        "shape",
        "name",
        "argument",
        "number",
        "no metrics",
        "half an epoch",
        "no score",
        "NaN",
        "unknown field",
        "not a number",
    ],
)
def test_a_checkpoint_with_a_wrong_entry_is_refused(trained, tmp_path, changes):
    with pytest.raises(CheckpointError, match="corrupted checkpoint"):
        checkpoints.load(change(trained, tmp_path / "odd.pt", **changes))


@pytest.mark.parametrize("version", [0, 99, None, torch.zeros(2)])
def test_another_format_version_is_an_error(trained, tmp_path, version):
    with pytest.raises(CheckpointError, match=r"format version that mnist .* does not read; it reads 1"):
        checkpoints.load(change(trained, tmp_path / "new.pt", version=version))


@pytest.mark.parametrize("name", ["digits.onnx", "digits.pt2"])
def test_an_exported_model_is_distinguished_from_a_corrupted_checkpoint(trained, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(trained.read_bytes())
    with pytest.raises(CheckpointError, match="is an exported model; name the checkpoint that it was made from"):
        checkpoints.load(path)


def test_the_error_for_a_folder_names_the_file_in_it(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a folder; name the file in it, such as .*last\.pt"):
        checkpoints.load(tmp_path)


def test_the_error_for_a_missing_file_names_the_command_that_makes_one(tmp_path):
    with pytest.raises(CheckpointError, match=r"not found: .*`mnist train`"):
        checkpoints.load(tmp_path / "none.pt")


def test_a_checkpoint_without_a_calibration_is_read(trained, tmp_path):
    content = torch.load(trained, weights_only=True)
    del content["weights"]["temperature"], content["weights"]["least_score"]
    torch.save(content, tmp_path / "old.pt")
    model = checkpoints.load(tmp_path / "old.pt").model
    assert (model.temperature, model.least_score) == (1, -1e9)


def test_the_model_that_ships_is_small_and_meant_by_its_name(val, tmp_path, monkeypatch):
    assert pretrained.CHECKPOINT.stat().st_size <= 2_000_000
    shipped = checkpoints.load(PRETRAINED)
    assert shipped.val_accuracy >= 0.996
    assert loop.evaluate(shipped.model, val[:2_000]).accuracy >= 0.99
    monkeypatch.chdir(tmp_path)
    Path("pretrained").write_text("a file of the user's own")
    with pytest.raises(CheckpointError, match="pretrained is not a checkpoint"):
        checkpoints.load(PRETRAINED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "mlp", "arguments": {"hidden": [100_000, 100_000], "activation": "relu", "dropout": 0.0}}}, "expected"),
        ({"model": {"name": "mlp", "arguments": {"hidden": [1] * 9_999, "activation": "relu", "dropout": 0.0}}}, "layers"),
        ({"weights": {"layers.1.weight": torch.zeros(1).expand(256, 784)}}, "fewer numbers than its shape requires"),
        ({"weights": {"layers.1.weight": torch.zeros(256, 784, dtype=torch.float64)}}, "of torch.float64, expected"),
        ({"weights": {"layers.1.weight": torch.zeros(256, 784).to_sparse()}}, "not a plain tensor|would run foreign code"),
        ({"versions": {"torch": ["nested"]}}, "a name in it is a list"),
    ],
    ids=["absurd widths", "absurd depth", "fewer numbers", "double", "sparse", "nested"],
)  # fmt: skip
def test_a_checkpoint_whose_metadata_are_wrong_is_refused_before_its_model_is_built(
    trained, tmp_path, monkeypatch, changes, message
):
    if "weights" in changes:
        changes = {"weights": {**torch.load(trained, weights_only=True)["weights"], **changes["weights"]}}
    path = change(trained, tmp_path / "odd.pt", **changes)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(path)


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_refused(trained, tmp_path):
    with zipfile.ZipFile(trained) as good, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in good.namelist():
            bomb.writestr(name, bytes(10_000_000) if name.endswith("data/0") else good.read(name))
    with pytest.raises(CheckpointError, match="it is compressed"):
        checkpoints.load(tmp_path / "b.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 7},
        {"batch": "x"},
        {"batch": 10**9},
        {"random_state": torch.zeros(3)},
        {"optimizer": [1]},
        {"optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}}},
        {"optimizer": {"state": {0: dict.fromkeys(("step", "exp_avg", "exp_avg_sq"))}}},
        {
            "optimizer": {
                "state": {
                    0: {
                        "step": torch.tensor(1.0),
                        "exp_avg": torch.zeros(256, 784),
                        "exp_avg_sq": torch.zeros(1).expand(256, 784),  # a kernel would write beyond its end
                    }
                }
            }
        },
    ],
)
def test_a_checkpoint_that_cannot_be_resumed_is_an_error(trained, val, tmp_path, changes):
    trainer = torch.load(trained, weights_only=True)["trainer"]
    checkpoint = checkpoints.load(change(trained, tmp_path / "odd.pt", trainer={**trainer, **changes}))
    with pytest.raises(CheckpointError, match=r"odd\.pt holds a model but cannot be resumed"):
        session.resume(checkpoint, Trainer(checkpoint.model, val[:70], val[:10], checkpoint.config))


def test_a_pickle_that_would_allocate_gigabytes_is_refused_early(trained, tmp_path):
    with zipfile.ZipFile(trained) as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, b"\x80\x02}r\xff\xff\xff\x7f." if name.endswith("data.pkl") else content)
    with pytest.raises(CheckpointError, match="does not number its memo consecutively"):
        checkpoints.load(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("temperature", 0.0, "its temperature is 0, expected above 0"),
        ("temperature", -1.0, "its temperature is -1, expected above 0"),
        ("pixel_std", 0.0, "its pixel_std is 0, expected above 0"),
        ("least_score", torch.nan, "its least_score has values that are infinite, NaN or beyond"),
        ("layers.1.bias", 3e38, "its layers.1.bias has values that are infinite, NaN or beyond"),
    ],
)
def test_values_that_no_model_has_are_refused_when_it_is_loaded(trained, tmp_path, name, value, why):
    weights = torch.load(trained, weights_only=True)["weights"]
    weights[name] = torch.full_like(weights[name], value)
    with pytest.raises(CheckpointError, match=why):
        checkpoints.load(change(trained, tmp_path / "odd.pt", weights=weights))


def test_two_tensors_of_one_storage_are_loaded(trained, tmp_path):
    """As torch writes a view and what it is a view of."""
    weights = torch.load(trained, weights_only=True)["weights"]
    both = torch.cat([weights["layers.1.bias"], weights["layers.3.bias"]])
    weights["layers.1.bias"], weights["layers.3.bias"] = both[:256], both[256:]
    model = checkpoints.load(change(trained, tmp_path / "views.pt", weights=weights)).model
    assert torch.equal(model.layers[1].bias, checkpoints.load(trained).model.layers[1].bias)
    assert torch.equal(model.layers[3].bias, checkpoints.load(trained).model.layers[3].bias)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(
        CheckpointError, match=r"pipe\.pt is not a checkpoint: this is not a file but a pipe or a device"
    ):
        checkpoints.load(tmp_path / "pipe.pt")
