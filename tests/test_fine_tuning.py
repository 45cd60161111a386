import shutil
from dataclasses import asdict

import pytest
import torch
from test_checkpoints import change

from mnist_cli.config import TrainConfig
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.models import architectures, checkpoints
from mnist_cli.training import fine_tuning


def test_without_a_checkpoint_to_start_from_the_configuration_is_the_usual_one():
    assert fine_tuning.resolve(None, None, {"epochs": 3}) == TrainConfig(epochs=3)


def test_a_checkpoint_brings_its_architecture_and_a_tenth_of_the_learning_rate():
    config = fine_tuning.resolve(None, None, {"from_": "pretrained", "data": ("mine",)})
    assert (config.model, config.hidden) == ("cnn", fine_tuning.header_of("pretrained").config.hidden)
    assert (
        config.learning_rate == pytest.approx(TrainConfig(model="cnn").learning_rate / 10)
        or config.learning_rate == 1e-3
    )
    assert fine_tuning.resolve(None, None, {"from_": "pretrained", "learning_rate": 0.5}).learning_rate == 0.5


@pytest.mark.parametrize("options", [{"model": "mlp"}, {"hidden": (5,)}])
def test_the_architecture_of_a_checkpoint_cannot_be_changed(options):
    with pytest.raises(ConfigError, match="--from pretrained has another --"):
        fine_tuning.resolve(None, None, {"from_": "pretrained", **options})


def test_a_file_that_begins_from_a_checkpoint_repeats_the_run(tmp_path):
    (tmp_path / "config.toml").write_text('from = "pretrained"\ndata = ["mine", "mnist"]\n')
    config = fine_tuning.resolve(None, tmp_path / "config.toml", {})
    assert (config.from_, config.data, config.model) == ("pretrained", ("mine", "mnist"), "cnn")


def test_a_checkpoint_that_is_not_there_is_named():
    with pytest.raises(CheckpointError, match="neither a file nor a run 'gone'"):
        fine_tuning.resolve(None, None, {"from_": "gone"})


def test_a_teacher_is_found_at_once_and_changes_nothing_else(tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints/first").mkdir(parents=True)
    shutil.copy(trained, "checkpoints/first/last.pt")
    assert fine_tuning.resolve(None, None, {"teacher": "pretrained"}) == TrainConfig(teacher="pretrained")
    assert fine_tuning.resolve(None, None, {"teacher": "latest"}).teacher == "checkpoints/first/last.pt"
    with pytest.raises(CheckpointError, match="neither a file nor a run 'gone'"):
        fine_tuning.resolve(None, None, {"teacher": "gone"})


def test_the_checkpoint_to_begin_from_is_the_same_later(tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints/first").mkdir(parents=True)
    shutil.copy(trained, "checkpoints/first/last.pt")
    assert fine_tuning.resolve(None, None, {"from_": "pretrained"}).from_ == "pretrained"
    for name in ("latest", "first", "checkpoints/first"):
        assert fine_tuning.resolve(None, None, {"from_": name}).from_ == "checkpoints/first/last.pt"


def test_a_model_has_learned_what_those_it_was_fine_tuned_from_had(tmp_path, trained):
    config = asdict(checkpoints.load(trained).config)
    base = change(trained, tmp_path / "base.pt", config=config | {"data": ["a"], "extra": "collected"})
    tuned = change(trained, tmp_path / "tuned.pt", config=config | {"data": ["b"], "from_": str(base)})
    assert fine_tuning.learned_by(tuned) == ({"a", "b"}, {"collected"})
    base.unlink()
    assert fine_tuning.learned_by(tuned) == ({"b"}, set())
    itself = tmp_path / "itself.pt"
    change(trained, itself, config=config | {"data": ["c"], "from_": str(itself)})
    assert fine_tuning.learned_by(itself) == ({"c"}, set())


def test_mnist_is_needed_only_where_it_is_read():
    assert fine_tuning.needs_mnist(TrainConfig())
    assert not fine_tuning.needs_mnist(TrainConfig(data=("mine",)))
    assert fine_tuning.needs_mnist(TrainConfig(data=("mine",), from_="pretrained"))
    assert not fine_tuning.needs_mnist(TrainConfig(data=("mine",), from_="pretrained", mix=0.0))


def test_an_adapted_model_begins_with_the_same_probabilities_and_keeps_the_rows_of_known_classes():
    images = torch.randint(0, 255, (4, 1, 28, 28), dtype=torch.uint8)
    for classes in (("a", "b"), ("c", "b", "a")):
        model = architectures.build("mlp", 0, hidden=(8,), classes=("a", "b")).eval()
        model.temperature.fill_(0.5)
        before = model(images)
        adapted = architectures.adapted(model, classes).eval()
        assert adapted.temperature == 1
        after = adapted(images)[:, [classes.index("a"), classes.index("b")]]
        assert torch.allclose(before, after, atol=1e-6)
        assert adapted.classes == classes
