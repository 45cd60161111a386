from mnist_cli.reporting import RunReport
from mnist_cli.training import EpochResult

RESULTS = [EpochResult(1, 0.5, 0.4, 0.9, 1.5), EpochResult(2, 0.3, 0.35, 0.925, 1.25)]


def make_report(folder, images=60_000):
    with RunReport(folder, epochs=2, images=images) as report:
        for result in RESULTS:
            report.advance(images)
            report.epoch(result)


def test_a_pipe_gets_a_heading_and_a_line_an_epoch(tmp_path, capsys):
    make_report(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1/2", "0.5000", "0.4000", "90.00", "%", "1.5"],
        ["2/2", "0.3000", "0.3500", "92.50", "%", "1.2"],
    ]
    assert len({len(line) for line in lines}) == 1  # the columns line up


def test_a_terminal_gets_a_bar_with_the_speed(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    make_report(tmp_path)
    output = capsys.readouterr().err
    assert "images/s" in output
    assert "92.50" in output


def test_tensorboard_itself_reads_the_curves(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder, tag):
        events = EventAccumulator(str(folder)).Reload()
        return [(event.step, round(event.value, 4)) for event in events.Scalars(tag)]

    with RunReport(tmp_path, epochs=2, images=1) as report:
        report.epoch(RESULTS[0])
        assert read(tmp_path, "train_loss") == [(1, 0.5)]  # flushed, before the run ends
        report.epoch(RESULTS[1])
    assert read(tmp_path, "train_loss") == [(1, 0.5), (2, 0.3)]
    assert read(tmp_path, "val_loss") == [(1, 0.4), (2, 0.35)]
    assert read(tmp_path, "val_accuracy") == [(1, 0.9), (2, 0.925)]
    assert read(tmp_path / "loss" / "train", "loss") == [(1, 0.5), (2, 0.3)]
    assert read(tmp_path / "loss" / "valid", "loss") == [(1, 0.4), (2, 0.35)]
