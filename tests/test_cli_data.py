import json

import numpy as np
import pytest
from PIL import Image

from mnist_cli.training import label_errors


@pytest.fixture
def mine(tmp_path, val):
    images, labels = val.images[:40].numpy(), val.labels[:40].numpy()
    np.savez(tmp_path / "mine.npz", images=np.concatenate([images, images[:1]]), labels=[*labels, 3])


def test_the_classes_and_the_duplicates_of_a_data_set_are_listed(mnist, mine, val):
    done = mnist("data", "mine.npz")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["class", "train", "val"]
    assert lines[1].split() == ["0", str(int((val.labels[:40] == 0).sum())), "0"]
    assert lines[11].split() == ["all", "41", "0"]
    assert lines[-1].startswith("1 images have the pixels of an earlier one")
    assert lines[-1].endswith("1 times such images have different labels.")


def test_json_has_the_same_numbers(mnist, mine):
    values = json.loads(mnist("data", "mine.npz", "--json").stdout)
    assert (values["train"], values["duplicates"], values["contradictory"]) == (41, 1, [[0, 40]])
    assert values["classes"][3]["label"] == "3"


def test_pictures_of_the_classes_and_of_suspects_are_drawn(mnist, mine, tmp_path, monkeypatch, val):
    def log_probabilities(images, classes, progress):
        return np.log(np.eye(10)[[*val.labels[:40], int(val.labels[0])]] * 0.9 + 0.01)

    monkeypatch.setattr(label_errors, "log_probabilities", log_probabilities)
    done = mnist("data", "mine.npz", "--sheet", "sheet.png", "--suspects", "suspects.png")
    assert "1 labels are probably wrong; the least likely are" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["40", "3", str(int(val.labels[0])), "91.00", "%"]
    for name in ("sheet.png", "suspects.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 300
