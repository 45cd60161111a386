import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_cli import cores

ROOT = Path(__file__).parent.parent
MACHINE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@pytest.fixture(autouse=True)
def _machine_of_64_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)


def write(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_without_a_quota_the_affinity_decides(tmp_path):
    assert cores.available(tmp_path) == 64
    write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert cores.available(tmp_path) == 64


@pytest.mark.parametrize(("quota", "expected"), [("200000 100000", 2), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_quota_of_cgroup_version_2_is_rounded_down(tmp_path, quota, expected):
    write(tmp_path, {"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/cpu.max": quota})
    assert cores.available(tmp_path) == expected


def test_the_tightest_quota_of_the_groups_above_holds(tmp_path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/cpu.max": "max 100000",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000",
        },
    )
    assert cores.available(tmp_path) == 3


def test_a_container_whose_group_is_mounted_as_the_root_has_its_quota(tmp_path):
    write(tmp_path, {"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "400000 100000"})
    assert cores.available(tmp_path) == 4


@pytest.mark.parametrize(("quota", "expected"), [("600000", 6), ("-1", 64)])
def test_a_quota_of_cgroup_version_1_counts(tmp_path, quota, expected):
    folder = "sys/fs/cgroup/cpu,cpuacct/docker/abc"
    write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n",
            f"{folder}/cpu.cfs_quota_us": f"{quota}\n",
            f"{folder}/cpu.cfs_period_us": "100000\n",
        },
    )
    assert cores.available(tmp_path) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("3", 3), ("8,2", 8), ("999999", 64), ("0", 64), ("-2", 64), ("many", 64), ("", 64), ("9" * 5_000, 64), ("٢", 64)],
)
def test_omp_num_threads_lowers_the_number_but_never_raises_it(tmp_path, monkeypatch, asked, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores.available(tmp_path) == expected


def test_a_program_started_with_too_many_threads_uses_as_many_as_there_are_cores():
    code = "from mnist_cli import cores; cores.limit_threads(); import torch; print(torch.get_num_threads())"
    environment = {**os.environ, "OMP_NUM_THREADS": "999999"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert 1 <= int(done.stdout) <= MACHINE


def test_a_valid_number_of_threads_is_left_unchanged(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cores.limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(("given", "used"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_a_thread_that_waits_leaves_its_core_to_others_unless_the_user_wants_it_otherwise(monkeypatch, given, used):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    cores.limit_threads()
    assert os.environ["OMP_WAIT_POLICY"] == used


def test_with_all_cores_to_use_the_libraries_choose_for_themselves(monkeypatch):
    if cores.available() == 64:
        cores.limit_threads()
        assert "OMP_NUM_THREADS" not in os.environ


def test_no_other_module_counts_the_cores_of_the_machine():
    folders = [ROOT / name for name in ("mnist_cli", "pretraining", "benchmarks")]
    modules = [path for folder in folders for path in folder.rglob("*.py") if path.name != "cores.py"]
    assert [str(path) for path in modules if "cpu_count" in path.read_text(encoding="utf-8")] == []
