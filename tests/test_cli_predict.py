import json
import shutil

import pytest
from conftest import draw_seven


@pytest.fixture
def seven(tmp_path, mnist):
    draw_seven().save(tmp_path / "seven.png")
    return "seven.png"


@pytest.fixture
def newest(tmp_path, trained, mnist):
    """A checkpoint where `mnist train` leaves it."""
    path = tmp_path / "checkpoints" / "mine" / "last.pt"
    path.parent.mkdir(parents=True)
    return shutil.copy(trained, path)


def test_a_line_a_picture_and_the_checkpoint_on_stderr(mnist, newest, seven):
    done = mnist("predict", seven)
    assert done.exit_code == 0
    path, digit, confidence, percent = done.stdout.split()
    assert (path, digit, percent) == ("seven.png:", "7", "%")
    assert 10 < float(confidence) <= 100
    assert done.stderr.startswith("Using checkpoints/mine/last.pt (val accuracy ")


def test_json_is_one_object_a_line_with_the_promised_keys(mnist, trained, seven):
    done = mnist("predict", seven, seven, "--json", "--checkpoint", trained)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    for answer in answers:
        assert list(answer) == ["path", "digit", "confidence", "probabilities"]
        assert (answer["path"], answer["digit"]) == ("seven.png", 7)
        assert answer["confidence"] == max(answer["probabilities"]) == answer["probabilities"][7]
        assert len(answer["probabilities"]) == 10


def test_a_bad_file_is_named_and_the_others_are_answered(mnist, trained, seven, tmp_path):
    (tmp_path / "[bold]text.png").write_text("hello")
    done = mnist("predict", "none.png", seven, "[bold]text.png", "--checkpoint", trained)
    assert done.exit_code == 1
    assert done.stdout.startswith("seven.png: 7  ")
    assert len(done.stdout.splitlines()) == 1
    assert "Error: none.png: there is no such file\n" in done.stderr
    assert "Error: [bold]text.png: this is not a picture" in done.stderr


def test_a_picture_that_may_not_be_read_does_not_end_the_run(mnist, trained, seven, tmp_path, monkeypatch):
    (tmp_path / "secret").mkdir()
    stat = type(tmp_path).stat

    def forbidden(self, **options):
        if "secret" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **options)

    monkeypatch.setattr(type(tmp_path), "stat", forbidden)
    done = mnist("predict", "secret/one.png", "x" * 300, seven, "--checkpoint", trained)
    assert done.exit_code == 1
    assert done.stdout.startswith("seven.png: 7  ")
    assert "Error: secret/one.png: there is no permission to read it\n" in done.stderr


def test_a_file_name_cannot_break_the_line(mnist, trained, tmp_path):
    name = "a\nb\x1b[31m.png"
    draw_seven().save(tmp_path / name)
    done = mnist("predict", name, "--checkpoint", trained)
    assert done.stdout.startswith("a\\nb\\x1b[31m.png: 7  ")


def test_more_files_than_a_batch_keep_their_order(mnist, trained, tmp_path):
    names = [f"{number:03}.png" for number in range(300)]
    for name in names:
        draw_seven(size=40).save(tmp_path / name)
    done = mnist("predict", *names, "--checkpoint", trained)
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == names


def test_without_a_checkpoint_it_says_how_to_make_one(mnist, seven):
    done = mnist("predict", seven)
    assert done.exit_code == 1
    assert done.stderr == "Error: there is no checkpoint under checkpoints; make one with `mnist train`\n"


def test_wrong_usage_is_status_2(mnist):
    assert mnist("predict").exit_code == 2
    assert mnist("predict", "x.png", "--no-such-option").exit_code == 2
