import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))

import lessons


@pytest.fixture
def laboratory(train, val, monkeypatch):
    """A laboratory for lessons of a moment."""
    monkeypatch.setattr(lessons, "FEW", {"train_size": 100, "epochs": 2})
    monkeypatch.setattr(lessons, "SECONDS", 0.05)
    monkeypatch.setattr(lessons.Laboratory.prepare, "__defaults__", (replace(lessons.NOTES, train_size=200, epochs=2),))
    return lessons.Laboratory(train[:6_000], val[:200])


@pytest.mark.parametrize("name", lessons.LESSONS)
def test_a_lesson_draws_its_picture(laboratory, tmp_path, capsys, name):
    lessons.draw(lessons.LESSONS[name], laboratory, tmp_path / "lesson.png")
    assert "val accuracy" in capsys.readouterr().out
    with Image.open(tmp_path / "lesson.png") as image:
        assert image.size[0] == 1300


def test_a_diverging_run_ends_its_curve(laboratory, capsys):
    results = laboratory.learn("wild", laboratory.prepare(learning_rate=1e9, optimizer="sgd", momentum=0.0))
    assert len(results) < 2
