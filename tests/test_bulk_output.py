import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from PIL import Image

from mnist_cli.bulk import executors, output, parts, plan, work
from mnist_cli.bulk.executors import Crew
from mnist_cli.config import PRETRAINED
from mnist_cli.errors import ConfigError, DataError, MnistError
from mnist_cli.models import backends
from mnist_cli.processes import WorkerEnded
from mnist_cli.recognition import sources
from mnist_cli.recognition.patterns import Pattern
from mnist_cli.recognition.pipeline import Options

SECONDS = 2.0  # for a batch of which one picture takes for ever


def prepare_with_faults():
    """Let some pictures end the process, or take for ever."""
    work.prepare()
    read = sources.read

    def faulty(source, *given):
        if source == b"kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if source == b"hang":
            time.sleep(1_000)
        return read(source, *given)

    sources.read = faulty


@pytest.fixture(scope="module")
def job():
    return work.job_of(backends.load(PRETRAINED, "cpu"), Options(), "csv")


@pytest.fixture(scope="module")
def pngs(val):
    """The bytes of a hundred PNG files."""
    files = [io.BytesIO() for _ in range(100)]
    for file, image in zip(files, val.images[:100, 0].numpy(), strict=True):
        Image.fromarray(image).save(file, "PNG")
    return [file.getvalue() for file in files]


@pytest.fixture
def shards(tmp_path, monkeypatch, pngs):
    """Three shards: two archives, and a folder."""
    monkeypatch.chdir(tmp_path)
    write_archive("0.tar", pngs[:70])
    write_archive("1.tar", [*pngs[70:80], b"no picture"])
    for index, content in enumerate(pngs[90:]):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / f"{index}.png").write_bytes(content)
    return plan.split_evenly(["0.tar", "1.tar", "folder"])


def write_archive(path, pictures):
    with tarfile.open(path, "w") as archive:
        for index, content in enumerate(pictures):
            entry = tarfile.TarInfo(f"{index}.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def write(job, shards, folder, report=lambda counts: None):
    with ThreadPoolExecutor(1) as executor:
        return output.write(job, shards, folder, Crew(executor, 1), report)


def written(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_each_picture_has_a_row_in_order_and_the_summary_counts_them(job, shards, tmp_path, val):
    counted = []
    counts = write(job, shards, tmp_path / "out", lambda counts: counted.append(counts.pictures))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_run.json",
        "_summary.json",
        *(f"part-0000{number}.csv" for number in range(3)),
    ]
    rows = [row for number in range(3) for row in parts._read_csv(tmp_path / "out" / f"part-0000{number}.csv")]
    assert len(rows) == 91
    assert counted == [70, 11, 10]
    assert (tmp_path / "out" / "part-00000.csv").read_text().splitlines()[70].startswith("0.tar/69.png,")
    right = [row["digit"] == str(label) for row, label in zip(rows, val.labels[:80].tolist(), strict=False)]
    assert sum(right) > 70
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert (summary["pictures"], summary["unreadable"]) == (counts.pictures, counts.unreadable) == (91, 1)
    assert sum(summary["digits"].values()) + sum(summary["reasons"].values()) == 91
    assert summary["model"]["sha256"] == job.sha256
    assert summary["last_run"]["pictures_per_second"] > 0


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_only_missing_parts_are_made_and_they_are_the_same(job, shards, tmp_path, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    job = replace(job, format=form)
    whole = write(job, shards, tmp_path / "out")
    before = written(tmp_path / "out")
    (tmp_path / "out" / f"part-00001.{form}").unlink()
    (tmp_path / "out" / f".part-00001.{form}.0123.tmp").write_bytes(b"half of one")
    kept = (tmp_path / "out" / f"part-00000.{form}").stat().st_mtime_ns
    assert write(job, shards, tmp_path / "out") == whole
    assert written(tmp_path / "out") == before
    assert (tmp_path / "out" / f"part-00000.{form}").stat().st_mtime_ns == kept
    assert not list((tmp_path / "out").glob(".*"))
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert (summary["pictures"], summary["last_run"]["pictures"]) == (91, 11)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("another model", {"sha256": "0" * 64}),
        ("other options", {"options": Options(min_confidence=0.5)}),
        ("other options", {"options": Options(many=True, pattern=Pattern("dd-dd"))}),
        ("other options", {"format": "jsonl"}),
        ("other versions", {"runtime": "torch 9 on cpu"}),
    ],
)
def test_a_folder_that_was_begun_otherwise_is_refused(job, shards, tmp_path, what, change):
    write(job, shards[2:], tmp_path / "out")
    before = written(tmp_path / "out")
    with pytest.raises(ConfigError, match=f"out was begun with {what}"):
        write(replace(job, **change), shards[2:], tmp_path / "out")
    assert written(tmp_path / "out") == before


def test_a_folder_that_was_begun_with_other_sources_is_refused(job, shards, tmp_path):
    write(job, shards[2:], tmp_path / "out")
    with pytest.raises(ConfigError, match="out was begun with other sources"):
        write(job, shards, tmp_path / "out")


def test_a_folder_with_other_files_is_refused_and_left_alone(job, shards, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"out holds part-00000\.csv, which is not of this program"):
        write(job, shards, tmp_path / "out")
    assert written(tmp_path / "out") == {"part-00000.csv": b"mine"}
    (tmp_path / "out" / "_run.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"_run\.json is not of this program"):
        write(job, shards, tmp_path / "out")


def test_files_that_a_user_adds_later_are_left_alone(job, shards, tmp_path):
    write(job, shards[2:], tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "out" / "part-00000.csv").unlink()
    write(job, shards[2:], tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_two_processes_do_not_write_to_one_folder(job, shards, tmp_path):
    pytest.importorskip("fcntl")

    def begin_another(counts):
        with pytest.raises(ConfigError, match="another process is writing to"):
            write(job, shards, tmp_path / "out")

    write(job, shards, tmp_path / "out", begin_another)


def test_what_cannot_be_read_is_one_sentence_and_the_other_parts_are_made(job, shards, tmp_path, pngs):
    write(job, shards, tmp_path / "undisturbed")
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"^0\.tar: .*; 1 of 3 parts are missing, the others are in .*out"):
        write(job, shards, tmp_path / "out")
    (tmp_path / "0.tar").unlink()
    with pytest.raises(DataError, match=r"^0\.tar: there is no such file; 1 of 3"):
        write(job, shards, tmp_path / "out")
    assert not (tmp_path / "out" / "_summary.json").exists()
    (tmp_path / "0.tar").write_bytes(whole)
    write(job, shards, tmp_path / "out")
    assert written(tmp_path / "out") == written(tmp_path / "undisturbed")


def test_a_table_that_loses_its_column_is_one_sentence_and_the_other_parts_are_made(job, shards, tmp_path, pngs):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"image": pngs[:5]}), "a.parquet")
    found = [*shards[1:], *plan.split_evenly(["a.parquet"])]
    pq.write_table(pa.table({"label": [1] * 5}), "a.parquet")
    with pytest.raises(
        DataError, match=r"^a\.parquet: no column holds the bytes of pictures.*; 1 of 3 parts are missing"
    ):
        write(job, found, tmp_path / "out")
    assert sorted(written(tmp_path / "out")) == ["part-00000.csv", "part-00001.csv"]
    pq.write_table(pa.table({"image": pngs[:5]}), "a.parquet")
    assert write(job, found, tmp_path / "out").pictures == 26


def test_a_full_disk_ends_the_run_and_the_finished_parts_stay(job, shards, tmp_path, monkeypatch):
    write(job, shards, tmp_path / "undisturbed")
    flush, flushed = os.fsync, []

    def full(descriptor):
        flushed.append(descriptor)
        if len(flushed) == 3:  # after _run.json and a part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(job, shards, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_run.json", "part-00000.csv"]
    write(job, shards, tmp_path / "out")
    assert written(tmp_path / "out") == written(tmp_path / "undisturbed")


@pytest.mark.slow
def test_a_picture_that_ends_its_process_or_takes_for_ever_is_a_row_with_a_reason(job, shards, tmp_path, pngs):
    write_archive("bad.tar", [pngs[0], b"kill", pngs[1], b"hang"])
    (bad,) = plan.split_evenly(["bad.tar"])
    with executors.local(2, prepare_with_faults) as crew:
        output.write(replace(job, seconds=SECONDS), [shards[0], bad, shards[1]], tmp_path / "out", crew, print)
    rows = list(parts._read_csv(tmp_path / "out" / "part-00001.csv"))
    assert [row["reason"] for row in rows] == [None, work.ENDED, None, work.ENDED]
    summary = json.loads((tmp_path / "out" / "_summary.json").read_text())
    assert (summary["pictures"], summary["reasons"][work.ENDED]) == (70 + 4 + 11, 2)


def test_when_every_process_ends_it_is_one_sentence(job, shards, tmp_path):
    class Ending(ThreadPoolExecutor):
        def submit(self, *given):
            future = Future()
            future.set_exception(WorkerEnded())
            return future

    with pytest.raises(MnistError, match=r"every process ends while it reads 0\.tar; is there enough memory"):
        output.write(job, shards, tmp_path / "out", Crew(Ending(1), 1), print)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be stopped there")
def test_after_a_kill_the_same_command_goes_on_and_writes_the_same(tmp_path, shards, pngs):
    names = [f"many-{number}.tar" for number in range(12)]
    for number, name in enumerate(names):
        write_archive(name, pngs[number:])
    command = [sys.executable, "-m", "mnist_cli", "predict", "many-*.tar", "--format", "csv", "--output"]
    subprocess.run([*command, "undisturbed"], check=True, capture_output=True)
    with subprocess.Popen([*command, "out"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        while not list((tmp_path / "out").glob("part-*")):
            assert started.poll() is None
            time.sleep(0.01)
        started.kill()
    done = subprocess.run([*command, "out"], check=True, capture_output=True, text=True)
    assert done.stdout == "out\n"
    assert written(tmp_path / "out") == written(tmp_path / "undisturbed")
    assert len(written(tmp_path / "out")) == len(names)
    shutil.rmtree("out")
