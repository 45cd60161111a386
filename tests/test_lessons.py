import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "docs"))

import lessons


@pytest.fixture
def laboratory(train, val, monkeypatch):
    """A laboratory for lessons of a moment."""
    monkeypatch.setattr(lessons, "FEW", {"train_size": 100, "epochs": 2, "holdout": 50})
    monkeypatch.setattr(lessons, "SECONDS", 0.05)
    monkeypatch.setattr(lessons, "TRIALS", 3)
    return lessons.Laboratory(train[:300], val[:100])


@pytest.mark.slow
@pytest.mark.parametrize("name", lessons.LESSONS)
def test_a_lesson_draws_its_picture(laboratory, tmp_path, capsys, name):
    lessons.draw(lessons.LESSONS[name], laboratory, tmp_path / "lesson.png")
    assert "val accuracy" in capsys.readouterr().out
    with Image.open(tmp_path / "lesson.png") as image:
        assert image.size[0] == 1300


def test_a_diverging_run_ends_its_curve(laboratory, capsys):
    results = laboratory.learn("wild", laboratory.prepare(learning_rate=1e9, optimizer="sgd", momentum=0.0))
    assert len(results) < 2


@pytest.mark.slow
def test_the_lessons_need_nothing_of_the_repository_but_their_file(tmp_path):
    shutil.copy(ROOT / "docs" / "lessons.py", tmp_path)
    command = [sys.executable, "lessons.py", "flying"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no lesson 'flying'; choose from vanishing-gradients, overfitting" in done.stderr


@pytest.mark.parametrize("page", ["lessons.md", "lessons.zh.md"])
def test_every_lesson_is_on_the_page_with_its_command_and_a_small_picture(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for name in lessons.LESSONS:
        assert f"python docs/lessons.py {name}\n" in text
        assert f"](lessons/{name}.png)" in text
        assert (ROOT / "docs" / "lessons" / f"{name}.png").stat().st_size < 100_000
