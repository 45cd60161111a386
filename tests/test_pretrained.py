from mnist_cli.config import PRETRAINED
from mnist_cli.models import pretrained


def test_a_folder_that_is_called_pretrained_does_not_hide_the_model_that_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PRETRAINED.mkdir()
    assert pretrained.resolve(PRETRAINED) == pretrained.CHECKPOINT
    PRETRAINED.rmdir()
    PRETRAINED.write_text("a file of the user's own")
    assert pretrained.resolve(PRETRAINED) == PRETRAINED


def test_any_other_name_is_that_of_a_file(tmp_path):
    assert pretrained.resolve(tmp_path / "pretrained") == tmp_path / "pretrained"


def test_the_model_that_ships_is_a_checkpoint_and_an_onnx_file():
    assert pretrained.CHECKPOINT.is_file()
    assert pretrained.ONNX.is_file()
