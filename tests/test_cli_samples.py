import json
from pathlib import Path


def test_the_samples_are_read_as_what_they_show(mnist):
    done = mnist("samples")
    assert done.exit_code == 0
    assert sorted(done.stdout.split()) == sorted(map(str, Path("samples").iterdir()))
    answers = [json.loads(line) for line in mnist("predict", "samples", "--json").stdout.splitlines()]
    found = {Path(answer["path"]).stem: answer["digit"] for answer in answers}
    reasons = {Path(answer["path"]).stem: answer["reason"] for answer in answers}
    assert (found["seven"], found["two"], found["chalk-4"]) == (7, 2, 4)
    assert (found["star"], reasons["star"]) == (None, "not a digit")
    many = json.loads(mnist("predict", "--many", "samples/number.png", "--json").stdout)
    assert many["text"] == "27041\n94162"


def test_no_file_is_overwritten(mnist, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/two.png").write_text("my own")
    done = mnist("samples", "mine")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: mine/two.png exists already")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["two.png"]
    assert (tmp_path / "mine/two.png").read_text() == "my own"
    assert mnist("samples", "more/deep").exit_code == 0


def test_a_file_where_the_folder_should_be_is_status_1(mnist, tmp_path):
    (tmp_path / "samples").touch()
    assert mnist("samples").exit_code == 1
