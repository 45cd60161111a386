"""How many cores this process may use, as limited by CPU affinity, the quota of its container and OMP_NUM_THREADS.

Standard library only, since the number is needed before torch and onnxruntime are imported.
"""

import math
import os
from pathlib import Path

THREADS = "OMP_NUM_THREADS"  # read by OpenMP, and so by torch, numpy and scipy
MAX_DIGITS = 18


def available(root: Path = Path("/")) -> int:
    """Return the number of cores to use, at least 1; `root` is the folder that has proc/ and sys/."""
    setting = _positive(os.environ.get(THREADS, "").split(",")[0])  # a list has a number for each level of nesting
    limits = [float(_affinity()), *_quotas(root)]
    if setting:
        limits.append(setting)
    return max(1, math.floor(min(limits)))


def limit_threads() -> None:
    """Set OMP_NUM_THREADS to the available cores where it, or without it the number of cores of the machine, is larger.

    A thread that waits for another one leaves its core to other programs, unless OMP_WAIT_POLICY says otherwise. Call it
    before torch is imported: OpenMP reads the variables once, and ignores quotas.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    setting, cores = os.environ.get(THREADS), available()
    if cores < _affinity() or (setting is not None and setting != str(cores)):
        os.environ[THREADS] = str(cores)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> list[float]:
    """Return the CPU quotas, in cores, of the control groups (cgroups, version 1 and 2) of this process.

    A quota applies to all groups below. In a container the group may be mounted as the root of the file system: the folder
    that the kernel names is then missing, and the folders above it, up to the mount point, are read instead.
    See cgroups(7) and the kernel's documentation of `cpu.max` and `cpu.cfs_quota_us`.
    """
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers  # "" in version 2
        folder = mount / group.lstrip("/")
        for parent in [folder, *folder.parents]:
            quotas += _quota_in(parent)
            if parent == mount:
                break
    return quotas


def _quota_in(folder: Path) -> list[float]:
    """Return the quota of one control group, or nothing where it has none."""
    words = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us").strip(),
        _read(folder / "cpu.cfs_period_us").strip(),
    ]
    quota, period = _positive(words[0]), _positive(words[-1])  # microseconds; without a limit `max` or -1
    return [quota / period] if quota and period else []


def _positive(text: str) -> int | None:
    """Return the number that a text is, or None when it is none above 0, or one so large that it limits nothing."""
    digits = text.strip()
    return int(digits) or None if digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""
