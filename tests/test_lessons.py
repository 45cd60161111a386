import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import lessons


@pytest.fixture
def laboratory(train, val, monkeypatch):
    """A laboratory for lessons of a moment."""
    monkeypatch.setattr(lessons, "FEW", {"train_size": 100, "epochs": 2, "holdout": 50})
    monkeypatch.setattr(lessons, "SECONDS", 0.05)
    return lessons.Laboratory(train[:300], val[:100])


@pytest.mark.parametrize("name", lessons.LESSONS)
def test_a_lesson_draws_its_picture(laboratory, tmp_path, capsys, name):
    lessons.draw(lessons.LESSONS[name], laboratory, tmp_path / "lesson.png")
    assert "val accuracy" in capsys.readouterr().out
    with Image.open(tmp_path / "lesson.png") as image:
        assert image.size[0] == 1300


def test_a_diverging_run_ends_its_curve(laboratory, capsys):
    results = laboratory.learn("wild", laboratory.prepare(learning_rate=1e9, optimizer="sgd", momentum=0.0))
    assert len(results) < 2


@pytest.mark.parametrize("page", ["lessons.md", "lessons.zh.md"])
def test_every_lesson_is_on_the_page_with_its_command_and_a_small_picture(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for name in lessons.LESSONS:
        assert f"python benchmarks/lessons.py {name}\n" in text
        assert f"](lessons/{name}.png)" in text
        assert (ROOT / "docs" / "lessons" / f"{name}.png").stat().st_size < 100_000
