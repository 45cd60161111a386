import csv
import json
import math
import re

import pytest
from PIL import Image
from searching import Pretending, plan

pytest.importorskip("optuna")

from mnist_cli import config
from mnist_cli.reporting import search, search_figures, search_page, search_tables
from mnist_cli.reporting.search import SearchReport
from mnist_cli.tuning import tuner
from mnist_cli.tuning.studies import Record
from mnist_cli.tuning.tuner import Finalist, Tuner

SEARCH = ["learning_rate=0.001..0.1,log", "batch_size=32,64", "label_smoothing=0..0.2"]


def record(number, state="complete", scores=None, **more):
    values = {"learning_rate": 0.01 * (number + 1), "batch_size": "32", "label_smoothing": 0.1}
    return Record(number, state, values, {1: 0.8, 3: 0.9 + number / 1000} if scores is None else scores, 2.5, **more)


RECORDS = [
    record(0, config="epochs = 3\n", weights="ab"),
    record(1, "pruned", {1: 0.7}),
    record(2),
    record(3, "failed", {}, reason="the loss became <nan>"),
    record(4, "running", {1: 0.9}),
]


def finalists(searched):
    scores = {"held_out": (0.89, 0.9, 0.88), "val": (0.91, 0.9, 0.92)}
    return [Finalist(searched.base, False, 2, 0.95, **scores), Finalist(searched.base, True, **scores)]


def test_a_search_keeps_its_trials_as_files_while_it_goes_on(tmp_path, capsys):
    searched = plan(tmp_path, search=SEARCH)
    tuning = Tuner(searched, Pretending())
    with SearchReport(tmp_path / "study", searched) as report:
        tuning.search(report.show)
        assert len(list((tmp_path / "study/trials").iterdir())) == 6
        again = tuning.train_again(tuner.finalists(searched, tuning.study.records()), report.show_again)
        report.finish(tuning.study, again)
    for number in range(6):
        folder = tmp_path / f"study/trials/{number:04}"
        assert config.resolve(None, folder / "config.toml", {}).learning_rate > 0
        assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if re.match(r"trial \d +\d\d\.\d\d %  ", line)]) == 6
    assert json.loads((tmp_path / "study/study.json").read_text())["is_finished"]
    assert (tmp_path / "study/report.html").exists()


def test_a_search_that_is_taken_up_shows_only_what_is_new(tmp_path, capsys):
    for trials in (2, 3):
        searched = plan(tmp_path, trials=trials)
        with SearchReport(tmp_path / "study", searched) as report:
            Tuner(searched, Pretending()).search(report.show)
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["0", "1", "2"]


def test_a_trial_that_a_killed_search_wrote_in_part_is_written_again(tmp_path):
    searched = plan(tmp_path, trials=2)
    for is_first in (True, False):
        with SearchReport(tmp_path / "study", searched) as report:
            Tuner(searched, Pretending()).search(report.show)
        if is_first:
            (tmp_path / "study/trials/0001/config.toml").unlink()
    for number in range(2):
        names = sorted(path.name.split(".")[0] for path in (tmp_path / f"study/trials/{number:04}").iterdir())
        assert names == ["config", "events"]


def test_the_table_has_a_row_for_each_trial_and_study_json_counts_them(tmp_path):
    searched = plan(tmp_path, search=SEARCH)
    search_tables.write(tmp_path, searched, RECORDS, finalists(searched))
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["complete", "pruned", "complete", "failed", "running"]
    assert (rows[0]["held_out_accuracy"], rows[0]["epochs"], rows[0]["learning_rate"]) == ("0.9", "3", "0.01")
    assert (rows[0]["weights"], rows[3]["reason"]) == ("ab", "the loss became <nan>")
    facts = json.loads((tmp_path / "study.json").read_text())
    assert (facts["trials"], facts["complete"], facts["pruned"], facts["failed"], facts["running"]) == (5, 2, 1, 1, 1)
    assert (facts["best_trial"], facts["held_out_accuracy"]) == (2, 0.902)
    assert facts["fresh_held_out_accuracy"] == pytest.approx(0.89)


def test_the_result_shows_the_score_of_the_search_beside_that_of_fresh_seeds(tmp_path):
    best, base = finalists(plan(tmp_path))
    lines = search_tables.describe([best, base])
    assert lines[0] == "Trial 2 is best with fresh seeds:"
    line = "trial 2 search 95.00 % fresh seeds 89.00 % ± 1.00 val, all images 91.00 % ± 1.00"
    assert " ".join(lines[1].split()) == line
    assert search_tables.describe([base, best])[-1] == "No configuration that was tried is better than the base."


def test_the_page_is_self_contained_and_escapes_what_comes_from_outside(tmp_path):
    searched = plan(tmp_path, search=SEARCH)
    importances = {"learning_rate": 0.7, "batch_size": 0.2, "label_smoothing": 0.1}
    page = search_page.write(tmp_path, searched, RECORDS, importances, finalists(searched)).read_text()
    assert not re.findall(r"""(?:src|href)=["']?https?:""", page)
    assert "the loss became &lt;nan&gt;" in page
    assert page.count("<svg") == 6
    for name in ("winners-curse", "history", "curves", "importances", "slices", "parallel"):
        with Image.open(tmp_path / f"{name}.png") as image:
            assert image.size[0] >= 800


@pytest.mark.parametrize("records", [[record(0, "pruned", {1: 0.7})], [record(0, scores={1: 1.0})], RECORDS[:3]])
def test_few_trials_are_drawn_too(tmp_path, records):
    search_page.write(tmp_path, plan(tmp_path, search=SEARCH), records, {}, [])


def test_stopped_trials_end_early_in_the_learning_curves_and_the_best_stand_out():
    (axes,) = search_figures.curves(RECORDS).axes
    ends = {line.get_color(): max(line.get_xdata()) for line in axes.lines}
    assert ends[search_figures.ORANGE] == 3
    assert ends[search_figures.LINE] == 1


def test_the_lowest_error_so_far_never_rises():
    records = [record(number, scores={1: score}) for number, score in enumerate((0.8, 0.7, 0.9, 0.85))]
    (axes,) = search_figures.history(records).axes
    (lowest,) = [line for line in axes.lines if line.get_label() == "lowest so far"]
    assert list(lowest.get_ydata()) == pytest.approx([20, 20, 10, 10])


def test_the_time_left_follows_from_the_speed_so_far_or_from_the_minutes(tmp_path, monkeypatch):
    monkeypatch.setattr(search.time, "monotonic", lambda: 100.0)
    report = SearchReport(tmp_path, plan(tmp_path, trials=10))
    monkeypatch.setattr(search.time, "monotonic", lambda: 140.0)
    assert report._summary(RECORDS[1:4]) == "study: 3 of 10 trials, 0 running, 1 pruned, 1 failed; about 2 min left"
    limited = SearchReport(tmp_path, plan(tmp_path, trials=math.inf, minutes=2))
    assert limited._seconds_left(0) == 120
