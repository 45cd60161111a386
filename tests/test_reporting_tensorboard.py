import json
import resource
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from conftest import RESULTS
from test_reporting_run import make_report

from mnist_cli.reporting.run import RunReport
from mnist_cli.reporting.tensorboard import Board

HYPERPARAMETERS = {  # the request that the page of hyperparameters sends
    "experimentName": "",
    "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
    "colParams": [{"hparam": "model", "order": "ORDER_UNSPECIFIED"}],
    "startIndex": 0,
    "sliceSize": 10,
}


def read(folder):
    """Open a log with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def scalars(folder, tag):
    return [(event.step, round(event.value, 4)) for event in read(folder).Scalars(tag)]


def test_tensorboard_itself_reads_the_curves(tmp_path, finished):
    with RunReport(tmp_path, finished) as report:
        report.epoch(RESULTS[0])
        assert scalars(tmp_path, "1 loss/train") == [(1, 0.5)]  # flushed, before the run ends
        report.epoch(RESULTS[1])
    assert scalars(tmp_path, "1 loss/train") == [(1, 0.5), (2, 0.3)]
    assert scalars(tmp_path, "1 loss/val") == [(1, 0.4), (2, 0.35)]
    assert scalars(tmp_path, "1 loss/held-out") == [(1, 0.45), (2, 0.4)]
    assert scalars(tmp_path, "2 accuracy/train") == [(1, 0.85), (2, 0.9)]
    assert scalars(tmp_path, "2 accuracy/val") == [(1, 0.9), (2, 0.925)]
    assert scalars(tmp_path, "3 learning rate/learning rate") == [(1, 0.001), (2, 0.0)]


def test_the_curves_are_sorted_first_and_the_final_scores_last(tmp_path, finished):
    make_report(tmp_path, finished)
    groups = [tag.split("/")[0] for tag in sorted(read(tmp_path).Tags()["scalars"])]
    assert list(dict.fromkeys(groups)) == [
        "1 loss",
        "2 accuracy",
        "3 learning rate",
        "4 gradient norm",
        "5 weight norm",
        "final",
    ]


def test_a_run_is_one_run_in_the_list(tmp_path, finished):
    make_report(tmp_path, finished)
    assert {path.parent for path in tmp_path.rglob("events.out.tfevents*")} == {tmp_path}


@pytest.mark.parametrize("compiled", [False, True])
def test_the_graph_of_the_network_is_written_without_warnings_of_torch(tmp_path, finished, capfd, recwarn, compiled):
    if compiled:
        finished.model.compile(backend="eager")
    capfd.readouterr()
    with RunReport(tmp_path, finished) as report:
        report.finish()
    _, *told = capfd.readouterr().err.splitlines()
    assert (told, list(recwarn)) == ([], [])
    assert read(tmp_path).Graph().node


def test_one_line_has_the_reason_when_there_is_no_graph_of_the_network(tmp_path, finished, capfd, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such operator\nand 200 lines more")

    monkeypatch.setattr("torch.utils.tensorboard._pytorch_graph.graph", fail)
    with RunReport(tmp_path, finished) as report:
        report.finish()
    assert capfd.readouterr().err.splitlines()[1:] == ["TensorBoard has no graph of the network: no such operator"]


def test_every_layer_has_its_weights_and_gradients(tmp_path, finished):
    make_report(tmp_path, finished)
    assert scalars(tmp_path, "5 weight norm/1 linear, 10") == [(1, 177.0876), (2, 177.0876)]  # 2 sqrt(7840)
    assert scalars(tmp_path, "4 gradient norm/1 linear, 10") == [(1, 88.5438), (2, 88.5438)]
    assert {"5 weights/1 linear, 10", "4 gradients/1 linear, 10"} <= set(read(tmp_path).Tags()["histograms"])


@pytest.mark.parametrize("count", [10, 70])
def test_the_sheet_shows_the_training_images_side_by_side(tmp_path, finished, count):
    finished.train = finished.train[:count]
    make_report(tmp_path, finished)
    (sheet,) = read(tmp_path).Images("training_images")
    assert (sheet.width, sheet.height) == (224, 224)


def test_the_hyperparameters_are_kept_with_the_final_scores(tmp_path, finished):
    make_report(tmp_path, finished)
    assert scalars(tmp_path, "final/val_accuracy") == [(2, 0.925)]


@pytest.fixture
def ask(tmp_path, finished):
    """The real TensorBoard, started on a finished run: a function that returns the JSON at a path."""
    make_report(tmp_path / "runs" / "one", finished)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path / "runs"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:

        def get(path):
            with urlopen(f"http://127.0.0.1:{port}/data/{path}", timeout=30) as response:
                return json.load(response)

        try:
            wait_for(lambda: "one" in get("runs"))
            yield get
        finally:
            server.kill()


def wait_for(is_there, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if is_there():
                return
        except URLError:
            pass
        time.sleep(0.2)
    pytest.fail("TensorBoard did not answer")


@pytest.mark.slow
def test_the_real_tensorboard_serves_everything_of_a_run(ask):
    scalars = ask("plugin/scalars/tags")
    assert {"1 loss/train", "1 loss/val", "2 accuracy/val", "1 loss/held-out"} <= set(scalars["one"])
    assert {"5 weight norm/1 linear, 10", "4 gradient norm/1 linear, 10"} <= set(scalars["one"])
    assert set(scalars) == {"one"}  # one line in the list of runs
    histograms = set(ask("plugin/histograms/tags")["one"])
    assert {"5 weights/1 linear, 10", "4 gradients/1 linear, 10"} <= histograms
    assert ask(f"plugin/histograms/histograms?run=one&tag={quote('4 gradients/1 linear, 10')}")
    pictures = {"training_images", "val/confusion_matrix", "val/mistakes", "val/reliability"}
    assert set(ask("plugin/images/tags")["one"]) == pictures
    assert set(ask("plugin/pr_curves/tags")["one"]) == {f"digit/{digit}" for digit in range(10)}
    assert "one" in ask("plugin/projector/runs")
    (embedding,) = ask("plugin/projector/info?run=one")["embeddings"]
    assert embedding["tensorName"] == "last_hidden_layer:00002"
    assert embedding["sprite"]["singleImageDim"] == [28, 28]
    assert ask("plugin/graphs/info")["one"]["run_graph"]
    assert "final/val_accuracy" in scalars["one"]
    assert ask("plugin/custom_scalars/layout")["category"][0]["chart"][0]["title"] == "loss"
    (session,) = ask(f"plugin/hparams/session_groups?request={quote(json.dumps(HYPERPARAMETERS))}")["sessionGroups"]
    assert session["hparams"]["model"] == "mlp"


def test_a_full_disk_neither_ends_nor_blocks_the_run(finished, tmp_path, capfd):
    board = Board(tmp_path, finished)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # bytes of a file; more is as on a full disk
    try:
        board.begin()
        board.epoch(RESULTS[0])
        board.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 100
    assert capfd.readouterr().err == ""
