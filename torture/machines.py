"""Machines with few cores: affinity, CPU quotas of containers, and odd values of OMP_NUM_THREADS."""

import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mnist_cli import cores
from torture import Outcomes
from torture.elsewhere import ROOT
from torture.pictures import drawn
from torture.workers import check_all

ASKED = (
    None, "", " ", "1", "2", "3", "0", "-1", "1,2", ",", "4,4,4", "999999", "99999999999999999999", "9" * 5_000, "1.5", "1e3", "0x2", "x",
    "\u0662", "\u00b2", "\uff12", " 2 ", "2;3", "true", "$(nproc)", "1 2",
)  # fmt: skip
MEANT = {"1": 1, "2": 2, "3": 3, "1,2": 1, "4,4,4": 4, " 2 ": 2}  # the others set no limit
# A program that sets its affinity to the cores in its first argument and executes the others.
ON_CORES = (
    "import os, sys; os.sched_setaffinity(0, map(int, sys.argv[1].split(','))); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])"
)
PERIODS = (100_000, 50_000, 1_000)
ODD = ("", "max", "max max", "-1", "x y", "0 0", "100000 0", "9" * 5_000 + " 1", "200000", "\0", "1e5 1e5", "nan 1")
MORE_THREADS = 40  # in addition to those that compute: other threads of the libraries


def draw_tree(root: Path, generator: random.Random) -> float:
    """Write control groups of version 1 or 2 below a folder, and return the lowest of their quotas, in cores."""
    depth = generator.randrange(4)
    group = "/".join(f"g{level}" for level in range(depth))
    is_second = generator.random() < 0.6
    controllers = "" if is_second else generator.choice(("cpu", "cpu,cpuacct"))
    (root / "proc/self").mkdir(parents=True)
    others = "12:memory:/elsewhere\n" if generator.random() < 0.5 else ""
    (root / "proc/self/cgroup").write_text(f"{others}{0 if is_second else 4}:{controllers}:/{group}\n")
    tightest = math.inf
    folder = root / "sys/fs/cgroup" / controllers
    levels = [folder, *(folder / "/".join(f"g{level}" for level in range(end + 1)) for end in range(depth))]
    for level in levels:
        level.mkdir(parents=True, exist_ok=True)
        if generator.random() < 0.5:
            continue
        period = generator.choice(PERIODS)
        quota = generator.choice((period // 2, period, period * 3 // 2, period * 2, period * 64))
        odd = generator.choice(ODD) if generator.random() < 0.3 else None
        if is_second:
            (level / "cpu.max").write_text(f"{quota} {period}\n" if odd is None else odd)
        else:
            (level / "cpu.cfs_quota_us").write_text(f"{quota}\n" if odd is None else odd)
            (level / "cpu.cfs_period_us").write_text(f"{period}\n")
        if odd is None:
            tightest = min(tightest, quota / period)
        elif odd == "200000":  # one number, which in version 2 is the quota and the period
            tightest = min(tightest, 1 if is_second else 200_000 / period)
    return tightest


def check_cores(seed: int, number: int, folder: Path) -> str | None:
    """Count the cores of a machine: the lowest of the limits, but at least 1."""
    generator = random.Random(f"{seed}/{number}")
    root = Path(tempfile.mkdtemp(dir=folder))
    quota = draw_tree(root, generator)
    asked = generator.choice(ASKED)
    os.environ.pop(cores.THREADS, None)
    if asked is not None:
        os.environ[cores.THREADS] = asked
    limits = [len(os.sched_getaffinity(0)), quota, MEANT.get(asked, math.inf)]
    found = cores.available(root)
    shutil.rmtree(root)
    expected = max(1, math.floor(min(limits)))
    if found != expected:
        return f"with a quota of {quota} and {cores.THREADS}={asked!r} it uses {found} cores, expected {expected}"
    return None


def counted(count: int, seed: int, folder: Path) -> Outcomes:
    """Quotas and numbers of threads."""
    yield from check_all(check_cores, count, seed, folder)


def programs(count: int, seed: int, folder: Path) -> Outcomes:
    """Run the program with odd OMP_NUM_THREADS and on some of the cores: it succeeds, with no more threads than allowed."""
    drawn("RGB").save(folder / "seven.png")
    for number in range(count):
        generator = random.Random(f"{seed}/{number}")
        asked = generator.choice(ASKED)
        device = generator.choice(([], ["--device", "cpu"]))  # on onnxruntime or on torch, where both are there
        environment = {name: value for name, value in os.environ.items() if name != cores.THREADS}
        environment |= {"PYTHONPATH": str(ROOT), **({} if asked is None else {cores.THREADS: asked})}
        allowed = sorted(os.sched_getaffinity(0))[: generator.choice((1, None))]
        command = ["-c", ON_CORES, ",".join(map(str, allowed)), "-m", "mnist_cli", "predict", "seven.png"]
        yield _watch(
            [sys.executable, *command, "--checkpoint", "pretrained", *device], environment, folder, len(allowed)
        )


def _watch(command: list[str], environment: dict[str, str], folder: Path, allowed: int) -> str | None:
    """Run a command that may use `allowed` cores, and return what was wrong with it."""
    most = 0
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while process.poll() is None:
            most = max(most, len(os.listdir(f"/proc/{process.pid}/task")))
            time.sleep(0.01)
        said = process.communicate()
    asked = environment.get(cores.THREADS)
    if process.returncode or not said[0].startswith(b"seven.png: "):
        return f"with {cores.THREADS}={asked!r} on {allowed} cores: status {process.returncode}, {said!r}"
    if most > 3 * allowed + MORE_THREADS:
        return f"with {cores.THREADS}={asked!r} on {allowed} cores it had {most} threads"
    return None
