import pickle
import zipfile

import pytest
from conftest import RESULTS
from test_checkpoints import RunsCode, change

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import CheckpointError
from mnist_cli.models import architectures, checkpoint_info, checkpoints
from mnist_cli.training import session
from mnist_cli.training.loop import Trainer


def test_a_header_has_the_metadata_of_the_checkpoint_without_its_weights(trained):
    header, checkpoint = checkpoint_info.read(trained), checkpoints.load(trained)
    assert (header.model, header.arguments) == (checkpoint.model.name, checkpoint.model.arguments)
    assert header.config == checkpoint.config
    assert header.metrics == checkpoint.metrics
    assert header.val_accuracy == checkpoint.val_accuracy
    assert header.versions == checkpoint.versions
    assert header.shapes == {name: tuple(weights.shape) for name, weights in checkpoint.model.state_dict().items()}


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn"])
def test_the_parameters_are_those_that_the_optimizer_updates(trained, val, tmp_path, name):
    model = architectures.build(name)
    session.save(tmp_path / "a.pt", Trainer(model, val[:1], val[:1], checkpoints.load(trained).config))
    assert checkpoint_info.read(tmp_path / "a.pt").parameters == sum(tensor.numel() for tensor in model.parameters())
    assert checkpoint_info.read(tmp_path / "a.pt").val_accuracy is None  # before the first epoch


def test_the_model_that_ships_has_a_header():
    assert checkpoint_info.read(PRETRAINED).model == "cnn"
    assert checkpoint_info.read(PRETRAINED).parameters > 100_000


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": {"layers.1.weight": 7}},
        {"weights": {"layers.1.weight": ("a",)}},
        {"weights": None},
        {"metrics": [{}]},
        {"metrics": [{"val_accuracy": "good"}]},
        {"metrics": [{**vars(RESULTS[0]), "val_accuracy": 7.0}]},
        {"metrics": [{**vars(RESULTS[0]), "epoch": 1.5}]},
        {"model": None},
        {"model": {"name": "mlp", "arguments": {"hidden": [9], "activation": "relu", "dropout": float("nan")}}},
        {"config": {}},
        {"versions": [1]},
    ],
)
def test_a_header_with_an_invalid_entry_is_corrupted(trained, tmp_path, changes):
    with pytest.raises(CheckpointError, match=r"odd\.pt is a corrupted checkpoint"):
        checkpoint_info.read(change(trained, tmp_path / "odd.pt", **changes))


def zip_of(path, pickled, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled)
    return path


def test_foreign_code_is_named_and_does_not_run(tmp_path):
    path = zip_of(tmp_path / "evil.pt", pickle.dumps({"weights": RunsCode(str(tmp_path / "planted"))}, 2))
    with pytest.raises(CheckpointError, match=r"would run foreign code \(posix.mkdir\)"):
        checkpoint_info.read(path)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("function", ["torch.load", "builtins.eval", "torch.os.system", "collections.Counter"])
def test_no_other_function_or_class_is_accepted(tmp_path, function):
    module, name = function.rsplit(".", 1)
    call = f"c{module}\n{name}\n(S'{tmp_path}/x'\ntR.".encode()
    with pytest.raises(CheckpointError, match=rf"would run foreign code \({function}\)"):
        checkpoint_info.read(zip_of(tmp_path / "evil.pt", call))


def test_a_storage_is_a_name_that_cannot_be_called(tmp_path):
    with pytest.raises(CheckpointError, match="not callable"):
        checkpoint_info.read(zip_of(tmp_path / "evil.pt", b"ctorch\nFloatStorage\n(tR."))


def test_a_small_file_cannot_fill_the_memory(tmp_path):
    path = zip_of(tmp_path / "bomb.pt", pickle.dumps("a" * 100_000), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000
    with pytest.raises(CheckpointError, match="it is compressed"):
        checkpoint_info.read(path)
