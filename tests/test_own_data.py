"""The way of a data set of one's own through the commands: train, evaluate, predict, export."""

import io
import json
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.models import checkpoints

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
QUICK = ("--model", "linear", "--epochs", "1", "--device", "cpu")


@pytest.fixture
def runes(tmp_path, val):
    """A data set of ten classes that are no digits, without a validation part."""
    images, labels = val.images[:300].numpy(), val.labels[:300].numpy()
    np.savez(tmp_path / "runes.npz", images=images, labels=labels, classes=NAMES)
    return images, labels


@pytest.mark.slow
def test_classes_of_ones_own_go_from_the_data_to_the_answers(mnist, tmp_path, runes):
    done = mnist("train", *QUICK, "--data", "runes.npz", "--name", "runes")
    assert done.exit_code == 0, done.stderr
    assert "runes.npz: 240 images to train on, measured on 60 held out of them." in done.stderr
    assert "evaluate checkpoints/runes/last.pt --data runes.npz\n" in done.stderr
    assert checkpoints.load(tmp_path / "checkpoints/runes/last.pt").model.classes == tuple(NAMES)

    done = mnist("evaluate", "runes", "--report", "why")
    assert "Measured on 60 held-out images of runes.npz." in done.stderr
    assert "class  precision" in done.stdout
    page = (tmp_path / "why/report.html").read_text()
    assert "on 60 held-out images of runes.npz" in page
    assert "<td>seven</td>" in page
    assert (tmp_path / "why/predictions.csv").read_text().startswith("index,label,prediction,confidence,pzero,")

    images, _ = runes
    Image.fromarray(images[0, 0]).save(tmp_path / "one.png")
    answer = json.loads(mnist("predict", "one.png", "--checkpoint", "runes", "--json", "--top-k", "2").stdout)
    assert answer["digit"] is None
    assert answer["label"] in NAMES
    assert answer["top"][0][0] == answer["label"]
    header = mnist("predict", "one.png", "--checkpoint", "runes", "--csv").stdout.splitlines()[0]
    assert header == "path,label,confidence,reason," + ",".join(f"p{name}" for name in NAMES)
    done = mnist("predict", "one.png", "--checkpoint", "runes", "--output", "out", "--format", "csv")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out/part-00000.csv").read_text().splitlines()[0] == header
    assert json.loads((tmp_path / "out/_summary.json").read_text())["digits"] == {answer["label"]: 1}
    done = mnist("predict", "one.png", "--checkpoint", "runes", "--many")
    assert (done.exit_code, "only digits are found on a page" in done.stderr) == (2, True)
    done = mnist("evaluate", "runes", "--data", "mnist")
    assert (done.exit_code, "mnist has classes that the model does not know" in done.stderr) == (1, True)


@pytest.mark.slow
def test_an_exported_model_keeps_its_classes_and_knows_what_it_was_trained_on(mnist, tmp_path, runes):
    assert mnist("train", *QUICK, "--data", "runes.npz", "--name", "runes").exit_code == 0
    done = mnist("export", "runes", "--output", "runes.onnx")
    assert "Same predictions as the checkpoint on 60 val images" in done.stderr
    done = mnist("evaluate", "runes.onnx", "--json")
    assert (json.loads(done.stdout)["images"], json.loads(done.stdout)["data"]) == (60, "runes.npz")
    assert json.loads(done.stdout)["classes"][7]["label"] == "seven"


@pytest.mark.slow
def test_a_model_that_was_trained_on_a_set_is_measured_on_what_was_held_out_and_another_on_all(mnist, tmp_path, val):
    for number, frame in enumerate(val.images[:40].numpy()):
        path = tmp_path / f"mine/{int(val.labels[number])}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(frame[0]).save(path)
    done = mnist("evaluate", "pretrained", "--data", "mine")
    assert (done.exit_code, "Measured on 40 images of mine." in done.stderr) == (0, True)
    options = ("--from", "pretrained", "--epochs", "1", "--mix", "0", "--name", "tuned", "--device", "cpu")
    assert mnist("train", *options, "--data", "mine", "--augment", "none").exit_code == 0
    done = mnist("evaluate", "pretrained", "tuned", "--data", "./mine")
    held_out = done.stderr.split("Measured on ")[1]
    assert held_out.split()[1] == "held-out"
    assert int(held_out.split()[0]) < 20
    assert "McNemar" in done.stdout


@pytest.mark.slow
def test_what_the_service_collects_is_learned_and_the_models_are_compared_on_what_was_held_out(mnist, tmp_path, val):
    pytest.importorskip("fastapi")
    from test_cli_serve import serving

    wanted = np.concatenate([np.flatnonzero(val.labels.numpy() == digit)[:5] for digit in range(10)])
    with serving(tmp_path, "--collect", "collected") as (_, address):
        for index in wanted:
            file = io.BytesIO()
            Image.fromarray(255 - val.images[index, 0].numpy()).resize((84, 84)).save(file, "PNG")
            sent = Request(f"{address}/api/corrections?digit={val.labels[index]}", file.getvalue())
            with urlopen(sent, timeout=120) as answer:
                assert answer.status == 201
    quick = ("--epochs", "1", "--mix", "0", "--augment", "none", "--device", "cpu")
    done = mnist("train", "--from", "pretrained", "--data", "collected", *quick, "--name", "better")
    assert done.exit_code == 0, done.stderr
    assert "collected: 40 images to train on, measured on 10 held out of them." in done.stderr
    done = mnist("evaluate", "pretrained", "better", "--data", "collected", "--device", "cpu")
    assert "Measured on 10 held-out images of collected." in done.stderr
    assert "McNemar" in done.stdout
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:3]] == ["pretrained", "checkpoints/better/last.pt"]
    done = mnist("train", *QUICK, "--train-size", "500", "--extra", "collected", "--name", "with-all")
    assert done.exit_code == 0, done.stderr
    done = mnist("evaluate", "with-all", "--data", "collected")
    assert "Measured on 50 training images of collected." in done.stderr


FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.exists(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_trained_on_with_one_option(mnist, tmp_path):
    done = mnist("download", "fashion-mnist", "--from", FASHION, "--data-dir", "data")
    assert done.exit_code == 0, done.stderr
    options = ["--preset", "balanced", "--augment", "affine", "--epochs", "1", "--name", "fashion"]
    done = mnist("train", "--data", "fashion-mnist", "--data-dir", "data", *options)
    assert done.exit_code == 0, done.stderr
    trained = checkpoints.load(tmp_path / "checkpoints/fashion/last.pt")
    assert trained.model.classes[9] == "Ankle boot"
    assert trained.metrics[-1].val_accuracy > 0.86  # one epoch reaches 87 to 89 %


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("train", "--data", "empty"), 1, "empty has no pictures; expected a folder of pictures for each class"),
        (("train", "--data", "one"), 1, "one has images of one class only; a classifier needs two"),
        (("train", "--data", "broken"), 1, "1 of 2 pictures in broken cannot be read: broken/a/none.png: "),
        (("evaluate", "--data", "nowhere"), 1, "there is no folder or file nowhere"),
        (
            ("evaluate", "pretrained", "--data", "letters"),
            1,
            "classes that the model does not know: a, b; it knows 0, 1",
        ),
        (("evaluate", "pretrained", "--data", "letters", "--corruptions"), 2, "the corruptions are those of MNIST-C"),
        (("train", "--from", "pretrained", "--model", "mlp"), 2, "--from pretrained has another --model, cnn"),
        (("train", "--from", "gone"), 1, "neither a file nor a run 'gone'"),
    ],
)
def test_data_that_cannot_be_used_are_refused_in_a_sentence(mnist, tmp_path, arguments, status, complaint):
    (tmp_path / "empty").mkdir()
    for name in ("one/7/a.png", "letters/a/1.png", "letters/b/1.png", "broken/a/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        draw_seven(40).save(tmp_path / name)
    (tmp_path / "broken/a/none.png").write_bytes(b"none")
    done = mnist(*arguments)
    assert (done.exit_code, complaint in done.stderr) == (status, True), done.stderr
    assert not (tmp_path / "checkpoints").exists() or not list((tmp_path / "checkpoints").iterdir())
