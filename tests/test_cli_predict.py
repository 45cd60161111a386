import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import draw_seven
from PIL import Image
from test_checkpoints import change, measured_at
from typer.testing import CliRunner

from mnist_cli.cli import app
from mnist_cli.recognition import classification, detection
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import Prediction
from mnist_cli.reporting import explanations

SEVEN = Prediction([0.0] * 7 + [1.0, 0.0, 0.0], 5.0)


@pytest.fixture
def seven(tmp_path, mnist):
    draw_seven().save(tmp_path / "seven.png")
    return "seven.png"


@pytest.fixture
def newest(tmp_path, trained, mnist):
    """A checkpoint where `mnist train` leaves it."""
    path = tmp_path / "checkpoints" / "mine" / "last.pt"
    path.parent.mkdir(parents=True)
    return measured_at(0.99, trained, path)


def test_a_line_a_picture_and_the_checkpoint_on_stderr(mnist, newest, seven):
    done = mnist("predict", seven)
    assert done.exit_code == 0
    path, digit, confidence, percent = done.stdout.split()
    assert (path, digit, percent) == ("seven.png:", "7", "%")
    assert 10 < float(confidence) <= 100
    assert done.stderr.startswith("Using checkpoints/mine/last.pt (val accuracy ")


def test_a_run_far_below_the_model_that_ships_predicts_only_when_it_is_named(
    mnist, trained, newest, seven, monkeypatch
):
    bad = newest.parents[1] / "bad" / "last.pt"
    bad.parent.mkdir()
    measured_at(0.9, trained, bad)
    os.utime(newest, (1, 1))
    done = mnist("predict", seven)
    passed_over, used = done.stderr.splitlines()
    assert passed_over == (
        "Not using the newest run, bad: its val accuracy of 90.00 % is more than a percentage point below that of the model "
        "that ships. `--checkpoint bad` uses it."
    )
    assert used.startswith("Using checkpoints/mine/last.pt ")
    newest.unlink()
    assert "Using the model that ships" in mnist("predict", seven).stderr
    assert mnist("predict", seven, "--checkpoint", "bad").stderr.startswith("Using checkpoints/bad/last.pt ")
    monkeypatch.setenv("MNIST_CHECKPOINT", "bad")
    assert mnist("predict", seven).stderr.startswith("Using checkpoints/bad/last.pt ")


def test_a_run_that_was_stopped_in_its_first_epoch_predicts_only_when_it_is_named(mnist, trained, newest, seven):
    stopped = newest.parents[1] / "stopped" / "last.pt"
    stopped.parent.mkdir()
    change(trained, stopped, metrics=[])
    os.utime(newest, (1, 1))
    passed_over, used = mnist("predict", seven).stderr.splitlines()
    assert passed_over == (
        "Not using the newest run, stopped: it has no finished epoch. `--checkpoint stopped` uses it."
    )
    assert used.startswith("Using checkpoints/mine/last.pt ")
    assert mnist("predict", seven, "--checkpoint", "stopped").stderr.startswith("Using checkpoints/stopped/last.pt ")


def test_a_file_whose_name_is_a_dash_is_not_standard_input(mnist, seven, tmp_path):
    os.rename(seven, tmp_path / "-")
    done = mnist("predict", "./-", "--checkpoint", "pretrained")
    assert (done.exit_code, done.stdout.split()[1]) == (0, "7")


def test_an_empty_source_is_not_the_current_folder(mnist, seven):
    done = mnist("predict", "")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "a source without a name is no picture" in done.stderr


def test_json_is_one_object_a_line_with_the_promised_keys(mnist, trained, seven):
    done = mnist("predict", seven, seven, "--json", "--checkpoint", trained)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    for answer in answers:
        assert list(answer) == ["path", "digit", "label", "confidence", "probabilities", "reason"]
        assert (answer["path"], answer["digit"]) == ("seven.png", 7)
        assert answer["confidence"] == max(answer["probabilities"]) == answer["probabilities"][7]
        assert len(answer["probabilities"]) == 10


def test_a_bad_file_is_named_and_the_others_are_recognized(mnist, trained, seven, tmp_path):
    (tmp_path / "[bold]text.png").write_text("hello")
    done = mnist("predict", "none.png", seven, "[bold]text.png", "--checkpoint", trained)
    assert done.exit_code == 1
    assert done.stdout.startswith("seven.png: 7  ")
    assert len(done.stdout.splitlines()) == 1
    assert "Error: none.png: there is no such file\n" in done.stderr
    assert "Error: [bold]text.png: this is not a picture" in done.stderr


def test_a_picture_without_read_permission_does_not_end_the_run(mnist, trained, seven, tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    open_file = os.open

    def forbidden(path, *given, **options):  # which the superuser, who may run the tests, would be allowed
        if "secret" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *given, **options)

    monkeypatch.setattr(os, "open", forbidden)
    done = mnist("predict", "secret/one.png", "x" * 300, seven, "--checkpoint", trained)
    assert done.exit_code == 1
    assert done.stdout.startswith("seven.png: 7  ")
    assert "Error: secret/one.png: there is no permission to read it\n" in done.stderr


def test_a_file_name_cannot_break_the_line(mnist, trained, tmp_path):
    name = "a\nb\x1b[31m.png"
    draw_seven().save(tmp_path / name)
    done = mnist("predict", name, "--checkpoint", trained)
    assert done.stdout.startswith("a\\nb\\x1b[31m.png: 7  ")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("options", [[], ["--csv"], ["--explain", "why"]])
def test_a_file_name_that_is_no_text_is_printed_as_it_is(mnist, trained, tmp_path, options):
    name = os.fsdecode(b"\xff.png")
    draw_seven().save(tmp_path / name)
    done = mnist("predict", name, *options, "--checkpoint", trained)
    assert done.exit_code == 0
    assert b"\xff.png" in done.stdout_bytes


def test_a_long_file_name_can_be_explained(mnist, trained, tmp_path):
    name = "7" * 251 + ".png"
    draw_seven().save(tmp_path / name)
    assert mnist("predict", name, "--explain", "why", "--checkpoint", trained).exit_code == 0
    assert len(list((tmp_path / "why").iterdir())) == 1


def test_more_files_than_a_batch_keep_their_order(mnist, trained, tmp_path):
    names = [f"{number:03}.png" for number in range(300)]
    for name in names:
        draw_seven(size=40).save(tmp_path / name)
    done = mnist("predict", *names, "--checkpoint", trained)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == names


def test_a_file_that_cannot_be_read_has_a_row_in_json_and_csv(mnist, trained, seven):
    done = mnist("predict", "none.png", seven, "--json", "--checkpoint", trained)
    assert done.exit_code == 1
    bad, good = map(json.loads, done.stdout.splitlines())
    assert bad == {**dict.fromkeys(good), "path": "none.png", "reason": "there is no such file"}
    done = mnist("predict", "none.png", seven, "--csv", "--checkpoint", trained)
    assert done.exit_code == 1
    _, bad, good = csv.reader(io.StringIO(done.stdout))
    assert bad[:4] == ["none.png", "", "", "there is no such file"]
    assert good[:2] == ["seven.png", "7"]


def test_a_folder_stands_for_the_pictures_below_it(mnist, trained, tmp_path):
    names = ["photos/b.JPG", "photos/a.png", "photos/deep/er/c.webp"]
    for name in [*names, "photos/.hidden.png", "photos/.git/d.png", "photos/notes.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        draw_seven().save(tmp_path / name, format="PNG")
    done = mnist("predict", "photos", "--checkpoint", trained)
    assert done.exit_code == 0
    assert [line.split(": 7 ")[0] for line in done.stdout.splitlines()] == sorted(names)


def test_what_is_left_out_of_a_folder_is_counted_in_one_line(mnist, trained, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_seven().save(folder / "pages.tif", save_all=True, append_images=[draw_seven()] * 2)
    for name in ("a.jxl", "b.jxl", "c.svg", "notes.txt"):
        (folder / name).touch()
    done = mnist("predict", folder, "--checkpoint", trained)
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.splitlines()[1:] == [
        "3 files left out: 2 JPEG XL, 1 SVG; 2 later pages of TIFF files left out: the first one is read."
    ]


def test_a_folder_without_pictures_is_one_error(mnist, trained, seven, tmp_path):
    (tmp_path / "empty" / "emptier").mkdir(parents=True)
    done = mnist("predict", "empty", seven, "--json", "--checkpoint", trained)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == ["Error: empty: there is no picture in this folder"]
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == ["empty", "seven.png"]


def test_a_dash_is_standard_input(mnist, trained, tmp_path):
    picture = io.BytesIO()
    draw_seven().save(picture, "PNG")
    arguments = ["predict", "-", "--checkpoint", str(trained), "--explain", "why"]
    done = CliRunner().invoke(app, arguments, input=picture.getvalue())
    assert done.stdout.startswith("-: 7  ")
    assert (tmp_path / "why" / "stdin.png").exists()


def test_no_ink_is_a_result(mnist, trained, tmp_path):
    Image.new("L", (50, 50), 200).save(tmp_path / "blank.png")
    done = mnist("predict", "blank.png", "--checkpoint", trained)
    assert (done.exit_code, done.stdout) == (0, "blank.png: ?  no ink\n")


def test_not_a_digit_is_a_result(mnist, trained, seven, monkeypatch):
    cat = Prediction([0.1] * 10, -5.0, "not a digit")
    monkeypatch.setattr(classification, "classify", lambda model, pictures, least: [cat])
    done = mnist("predict", seven, "--checkpoint", trained)
    assert (done.exit_code, done.stdout) == (0, "seven.png: ?  not a digit\n")


def test_a_digit_below_min_confidence_is_unclear(mnist, trained, seven):
    done = mnist("predict", seven, "--min-confidence", "1", "--checkpoint", trained)
    assert (done.exit_code, done.stdout) == (0, "seven.png: ?  unclear\n")


def test_the_likeliest_digits(mnist, trained, seven):
    done = mnist("predict", seven, "--top-k", "3", "--checkpoint", trained)
    assert re.fullmatch(r"seven.png: 7(  [\d.]+ %  \d){2}  [\d.]+ %\n", done.stdout)
    answer = json.loads(mnist("predict", seven, "--top-k", "3", "--json", "--checkpoint", trained).stdout)
    likeliest = sorted(answer["probabilities"], reverse=True)[:3]
    assert answer["top"] == [[answer["probabilities"].index(share), share] for share in likeliest]


def test_a_picture_of_many_digits_keeps_all_its_pixels(mnist, trained, tmp_path, monkeypatch):
    shapes = []
    monkeypatch.setattr(detection, "find_digits", lambda model, picture, *how: shapes.append(picture.shape) or [])
    for name in ("a.png", "b.png"):
        Image.new("L", (1000, 500)).save(tmp_path / name)
    done = mnist("predict", "--many", "a.png", "b.png", "--checkpoint", trained)
    assert (done.exit_code, done.stdout) == (0, "a.png: ?  no digit\nb.png: ?  no digit\n")
    assert shapes == [(500, 1000, 1)] * 2


def test_many_digits_in_a_picture(mnist, trained, seven, monkeypatch):
    page = [Detection((10, 20, 30, 40), SEVEN), Detection((10, 80, 30, 40), SEVEN, line=1)]
    monkeypatch.setattr(detection, "find_digits", lambda model, picture, *how: page)
    assert mnist("predict", "--many", seven, "--checkpoint", trained).stdout == "seven.png: 7/7\n"
    answer = json.loads(mnist("predict", "--many", seven, "--json", "--checkpoint", trained).stdout)
    assert (answer["text"], [digit["digit"] for digit in answer["digits"]]) == ("7\n7", [7, 7])


def test_many_digits_are_shown_with_the_likeliest_and_explained(mnist, trained, seven, tmp_path, monkeypatch):
    page = [Detection((10, 20, 30, 40), SEVEN), Detection((10, 80, 30, 40), SEVEN, line=1)]
    monkeypatch.setattr(detection, "find_digits", lambda model, picture, *how: page)
    options = ["--many", "--show", "--top-k", "2", "--explain", "why", "--checkpoint", trained]
    done = mnist("predict", seven, *options)
    assert done.exit_code == 0
    first, *likeliest = done.stdout.splitlines()
    assert (first, [line.split()[0] for line in likeliest]) == ("seven.png: 7/7", ["7", "7"])
    with Image.open(tmp_path / "why" / "seven.png") as image:
        assert image.format == "PNG"
    answer = json.loads(mnist("predict", seven, "--json", *options).stdout)
    assert [len(digit["top"]) for digit in answer["digits"]] == [2, 2]
    assert answer["lines"][0]["numbers"][0]["digits"][0]["top"][0][0] == 7


def test_explanations_are_saved_and_overwrite_no_other_file(mnist, trained, seven, tmp_path):
    (tmp_path / "other").mkdir()
    for name in ("other/seven.png", "eight.png"):
        shutil.copy(tmp_path / seven, tmp_path / name)
    before = (tmp_path / seven).read_bytes()
    done = mnist("predict", seven, "eight.png", "other", "none.png", "--explain", ".", "--checkpoint", trained)
    assert done.exit_code == 1
    assert (tmp_path / seven).read_bytes() == (tmp_path / "eight.png").read_bytes() == before
    for name in ("seven-2.png", "seven-3.png", "eight-2.png"):
        with Image.open(tmp_path / name) as image:
            evidence = 2 * (explanations.PANEL + explanations.MARGIN)  # px, of two panels
            assert (image.format, image.size) == ("PNG", (explanations.SIZE[0] + evidence, explanations.SIZE[1]))
    assert len(list(tmp_path.glob("*.png"))) == 5


def test_an_invalid_folder_for_explanations_is_an_error_before_anything_is_read(mnist, trained, seven):
    done = mnist("predict", seven, "--explain", seven, "--checkpoint", trained)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Error: seven.png: File exists; move away the file" in done.stderr


def test_nothing_is_drawn_in_a_pipe(mnist, trained, seven):
    plain = mnist("predict", seven, "--checkpoint", trained)
    assert mnist("predict", seven, "--show", "--checkpoint", trained).stdout == plain.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--json", "--csv"], "--json and --csv"),
        (["--csv", "--top-k", "2"], "--csv"),
        (["--format", "csv"], "--format goes with"),
        (["--cluster", "tcp://127.0.0.1:1"], "--cluster goes with"),
        (["--output", "out", "--json"], "--json does not go with --output; choose"),
        (["--output", "out", "--top-k", "2"], "--top-k does not go"),
        (["--output", "out", "--explain", "why"], "--explain does not go"),
        (["--output", "out", "-"], r"standard input \(-\) does not go"),
    ],
)
def test_options_that_contradict_are_refused_before_anything_is_read(mnist, options, named, tmp_path):
    done = mnist("predict", "none.png", *options)
    assert done.exit_code == 2
    assert re.fullmatch(f"Error: {named} .+\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_with_output_results_are_files_and_only_the_folder_is_printed(mnist, trained, tmp_path):
    for number in range(3):
        draw_seven(40).save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_text("no picture")
    arguments = ["predict", "*.png", "none.png", "--output", "out", "--format", "jsonl", "--checkpoint", trained]
    done = mnist(*arguments)
    assert (done.exit_code, done.stdout) == (0, "out\n")
    assert done.stderr.endswith("5 pictures, of which 2 could not be read.\n")
    rows = list(map(json.loads, (tmp_path / "out" / "part-00000.jsonl").read_text().splitlines()))
    assert [row["path"] for row in rows] == ["0.png", "1.png", "2.png", "bad.png", "none.png"]
    assert list(rows[0]) == ["path", "digit", "label", "confidence", "probabilities", "reason"]
    assert rows[4]["reason"] == "there is no such file"
    assert mnist(*arguments).exit_code == 0
    done = mnist(*arguments, "--min-confidence", "0.9")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1].startswith("Error: out was begun with other options; ")


def test_a_truncated_archive_is_one_error(mnist, trained, tmp_path):
    (tmp_path / "a.tar").write_bytes(b"neither this nor that")
    done = mnist("predict", "a.tar", "--checkpoint", trained)
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: a\.tar: .+", done.stderr.splitlines()[1])


def test_a_checkpoint_of_the_users_own_that_is_called_pretrained_is_not_the_model_that_ships(mnist, trained, seven):
    shutil.copy(trained, "pretrained")
    assert mnist("predict", seven, "--checkpoint", "pretrained").stderr.startswith("Using pretrained (val accuracy ")


def test_without_a_checkpoint_the_model_that_ships_is_used(mnist, seven):
    done = mnist("predict", seven)
    assert done.stdout.startswith("seven.png: 7  ")
    assert re.fullmatch(
        r"Using the model that ships with mnist \(val accuracy [\d.]+ %\); `mnist train` makes your own.\n", done.stderr
    )


def test_wrong_usage_is_status_2(mnist):
    assert mnist("predict").exit_code == 2
    for options in (["--no-such-option"], ["--top-k", "0"], ["--top-k", "11"], ["--min-confidence", "1.1"]):
        assert mnist("predict", "x.png", *options).exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
class TestOnATerminal:
    """The program in a process of its own, with a terminal for one of its streams."""

    @staticmethod
    def run(folder, stream, *arguments):
        ours, theirs = os.openpty()
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: theirs}
        command = [sys.executable, "-m", "mnist_cli", "predict", *arguments]
        environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm-256color"}
        with subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, **streams):
            os.close(theirs)
            shown = b""
            try:
                while some := os.read(ours, 65536):
                    shown += some
            except OSError:  # Linux raises it when the other end is closed
                pass
        os.close(ours)
        return shown.decode()

    @pytest.mark.slow
    def test_results_are_a_table_with_the_model_input(self, seven, trained, tmp_path):
        shown = self.run(tmp_path, "stdout", seven, "--show", "--checkpoint", trained)
        first, *_ = plain = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
        assert first.split() == ["file", "digit", "confidence", "model", "input"]
        assert any(re.match(r"seven.png +7 +[\d.]+ %  ▀{28}", line) for line in plain)

    @pytest.mark.slow
    def test_errors_are_printed_above_the_progress_bar(self, seven, trained, tmp_path):
        shown = self.run(tmp_path, "stderr", *[seven] * 99, "none.png", "--checkpoint", trained)
        assert "pictures" in shown
        assert re.search(r"\x1b\[2K\S*Error:\S* none.png: there is no such file\r\n", shown)


def test_a_form_is_given_as_a_pattern_or_as_a_number_of_digits(mnist, seven):
    printed = mnist("predict", "--pattern", "d", seven, "--checkpoint", "pretrained").stdout
    assert printed == mnist("predict", "--digits", "1", seven, "--checkpoint", "pretrained").stdout == "seven.png: 7\n"
    missing = json.loads(mnist("predict", "--pattern", "dd-dd", seven, "--json", "--checkpoint", "pretrained").stdout)
    assert (missing["text"], missing["reason"]) == ("", "nothing like dd-dd")
    for wrong in (["--pattern", "12"], ["--pattern", "dd", "--digits", "2"]):
        assert mnist("predict", *wrong, seven).exit_code == 2
