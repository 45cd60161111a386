from types import SimpleNamespace

import pytest

from mnist_cli import config
from mnist_cli.cli import seeds
from mnist_cli.errors import ConfigError


def header(accuracy, **options):
    settings = config.resolve("default", None, options)
    return SimpleNamespace(config=settings, model=settings.model, val_accuracy=accuracy)


HEADERS = {
    "a-seed0": header(0.97, seed=0),
    "b-seed0": header(0.90, seed=0, dropout=0.5),
    "a-seed1": header(0.98, seed=1, threads=2),
    "b-seed1": header(0.91, seed=1, dropout=0.5),
    "lonely": header(0.5, dropout=0.1),
}


def test_runs_that_differ_in_seed_and_threads_alone_are_a_group():
    groups = seeds.groups_of(HEADERS)
    assert [(group.name, list(group.runs)) for group in groups] == [
        ("a", ["a-seed0", "a-seed1"]),
        ("b", ["b-seed0", "b-seed1"]),
        ("lonely", ["lonely"]),
    ]
    assert groups[0].accuracies == [0.97, 0.98]


def test_a_group_is_a_line_with_mean_and_interval(capsys):
    seeds.show(seeds.groups_of(HEADERS))
    heading, a, _, lonely = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["name", "model", "seeds"]
    assert a.split()[:6] == ["a", "mlp", "2", "97.50", "%", "0.71"]
    assert lonely.split() == ["lonely", "mlp", "1", "50.00", "%"]


def test_two_groups_are_compared_by_a_named_test(capsys):
    seeds.compare(seeds.groups_of(HEADERS)[:2])
    assert "difference -7.00 points, p = 0.01 (Welch's t-test): more than seeds explain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("numbers", "said"), [([0, 2], "two seeds or more of each"), ([0], "here are 1"), ([0, 1, 2], "here are 3")]
)
def test_what_cannot_be_compared_is_said(numbers, said):
    groups = seeds.groups_of(HEADERS)
    with pytest.raises(ConfigError, match=said):
        seeds.compare([groups[number] for number in numbers])


def test_a_name_stands_for_a_run_or_for_its_seeds():
    known = [*HEADERS, "ab-seed0"]
    assert seeds.members_of("a", known) == ["a-seed0", "a-seed1"]
    assert seeds.members_of("a-seed1", known) == ["a-seed1"]
    assert seeds.members_of("c", known) == []
