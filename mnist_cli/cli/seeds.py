"""`mnist runs --seeds` and `--compare`: runs that differ in their seeds alone, as one line, and two such groups compared."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from mnist_cli.cli import tables
from mnist_cli.cli.console import print_result
from mnist_cli.errors import ConfigError
from mnist_cli.models.checkpoint_info import Header
from mnist_cli.results import p_value, percent

OF_SEED = re.compile(r"-seed\d+$")  # which `mnist train --seeds` puts behind a name
MACHINE = ("seed", "threads")  # what runs of a group may differ in


@dataclass(frozen=True)
class Group:
    """Finished runs that differ in their seeds alone."""

    name: str
    runs: Sequence[str]  # their names
    model: str
    accuracies: Sequence[float]  # on the val images


def groups_of(headers: Mapping[str, Header]) -> list[Group]:
    """Return the groups of runs, given the checkpoint to use of each by its name, in their order."""
    members: dict[str, list[str]] = {}
    for name, header in headers.items():
        settings = {key: value for key, value in asdict(header.config).items() if key not in MACHINE}
        members.setdefault(repr(settings), []).append(name)
    return [_group(names, headers) for names in members.values()]


def show(groups: Sequence[Group]) -> None:
    """Print a line for each group."""
    from mnist_cli.evaluation.seeds import Sample

    rows = [("name", "model", "seeds", "val accuracy", "deviation", "95 % interval of the mean")]
    for group in groups:
        sample = Sample(group.accuracies)
        low_and_high = sample.interval()
        deviation = "" if sample.deviation is None else f"{100 * sample.deviation:.2f}"
        interval = "" if low_and_high is None else " to ".join(map(percent, low_and_high))
        rows.append((group.name, group.model, str(len(group.runs)), percent(sample.mean), deviation, interval))
    tables.show(rows, left={0, 1, 5})


def compare(groups: Sequence[Group]) -> None:
    """Print whether two groups differ by more than their seeds explain; raises ConfigError for another number of groups."""
    from mnist_cli.evaluation import seeds

    if len(groups) != 2:
        raise ConfigError(
            f"--compare compares two groups of runs, and here are {len(groups)}; name a run of each, or the name before -seed"
        )
    samples = [seeds.Sample(group.accuracies) for group in groups]
    p = seeds.welch(*samples)
    if p is None:
        raise ConfigError("--compare needs two seeds or more of each; `mnist train --seeds 5` trains them")
    for group, sample in zip(groups, samples, strict=True):
        print_result(f"{group.name}: {len(group.runs)} seeds, {sample.describe()}")
    difference = 100 * (samples[1].mean - samples[0].mean)
    verdict = "more than" if p < 0.05 else "no more than"
    print_result(f"difference {difference:+.2f} points, p = {p_value(p)} (Welch's t-test): {verdict} seeds explain")


def members_of(name: str, known: Sequence[str]) -> list[str]:
    """Return the runs that `name` stands for: a run, or what stands before -seed0, -seed1 and so on."""
    return [run for run in known if run == name or OF_SEED.sub("", run) == name]


def _group(names: Sequence[str], headers: Mapping[str, Header]) -> Group:
    accuracies = {name: accuracy for name in names if (accuracy := headers[name].val_accuracy) is not None}
    return Group(OF_SEED.sub("", names[0]), names, headers[names[0]].model, list(accuracies.values()))
