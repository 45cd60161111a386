"""SIGKILL at random moments of `mnist tune`: no trial is lost, and none is counted twice.

What is killed is the program, the process of a trial, or the worker of a Dask cluster.
"""

import csv
import random
import time
from contextlib import nullcontext
from pathlib import Path

from torture import Outcomes, Skipped
from torture.families import Cluster, Family, cluster, kill, start
from torture.program import TINY, unpacked

MORE = 4  # trials that each command adds to the study
BASE = (*TINY, "--epochs", "1", "--holdout", "500", "--name", "study")
Weights = dict[int, str]  # the SHA-256 of the weights of each trial


def kills(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill searches in processes of this machine."""
    yield from _kills(count, seed, folder, on_cluster=False)


def kills_on_cluster(count: int, seed: int, folder: Path) -> Outcomes:
    """Kill searches on a Dask cluster, and its workers."""
    yield from _kills(count, seed, folder, on_cluster=True)


def _kills(count: int, seed: int, folder: Path, on_cluster: bool) -> Outcomes:
    """Make a study longer again and again, and each time kill a process, and let the same command go on."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise Skipped("Optuna is not installed") from error
    generator = random.Random(seed)
    unpacked(folder)
    with cluster(folder) if on_cluster else nullcontext() as there:
        begin = time.perf_counter()
        fault, weights = _outcome(folder, _start(folder, MORE, there).end(), MORE, {})
        whole = time.perf_counter() - begin
        yield fault and f"undisturbed: {fault}"
        for number in range(count):
            trials = MORE * (number + 2)
            started = _start(folder, trials, there)
            time.sleep(generator.uniform(0, whole))
            others = there.worker_pids() if there else started.workers()
            is_program = generator.random() < 0.4 or not others
            kill(started.process.pid if is_program else generator.choice(others))
            fault = started.end()
            if fault and is_program:
                fault = _start(folder, trials, there).end()
            fault, weights = _outcome(folder, fault, trials, weights)
            what = "the program" if is_program else "another process"
            yield fault and f"kill {number} of seed {seed}, of {what}: {fault}"


def _start(folder: Path, trials: int, there: Cluster | None) -> Family:
    where = ("--cluster", there.address) if there else ("--jobs", 2)
    return start(folder, "mnist_cli", "tune", *BASE, "--data-dir", folder / "data", "--trials", trials, *where)


def _outcome(folder: Path, fault: str | None, trials: int, before: Weights) -> tuple[str | None, Weights]:
    """Return what is wrong with the study, and the weights that its trials have; `before` they were these."""
    if fault:
        return fault, before
    with (folder / "runs/study/trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    weights = {int(row["trial"]): row["weights"] for row in rows}
    written = len(list((folder / "runs/study/trials").glob("*/config.toml")))
    if [int(row["trial"]) for row in rows] != list(range(trials)) or written != trials:
        return f"expected {trials} trials, found {len(rows)} in the table and {written} folders", weights
    if bad := [row for row in rows if row["state"] != "complete"]:
        return f"a trial was not trained to its end: {bad[0]}", weights
    if len(set(weights.values())) != trials:
        return "a trial was counted twice", weights
    changed = [number for number, hashed in before.items() if weights[number] != hashed]
    return f"trials {changed} were trained once more" if changed else None, weights
