"""The folder of the output: a part for each shard, each written once, also when the program is killed and run again."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from mnist_cli.bulk import parts, retries, work
from mnist_cli.bulk.executors import Crew
from mnist_cli.bulk.parts import Counts
from mnist_cli.bulk.shards import Shard
from mnist_cli.bulk.work import Job
from mnist_cli.errors import ConfigError, DataError
from mnist_cli.files import lock, naming, replacing
from mnist_cli.labels import DIGITS
from mnist_cli.version import __version__

RUN, SUMMARY = "_run.json", "_summary.json"  # programs that read folders of Parquet files leave these names out
MAX_REASONS = 100  # that the summary lists, the commonest ones
# What may differ from what a folder was begun with, and how an error says so.
IDENTITY = {
    "model": "another model",
    "options": "other options",
    "sources": "other sources",
    "versions": "other versions",
}


def write(job: Job, shards: Sequence[Shard], folder: Path, crew: Crew, report: Callable[[Counts], None]) -> Counts:
    """Write the part of each shard to a folder, and a summary when all are written; `report` gets the counts of each part.

    A part that is there already is not made again. A shard that cannot be read does not keep the others from being written.

    Raises ConfigError when the folder holds anything else, DataError when a shard cannot be read.
    """
    total, rest, errors = Counts(), [], []
    begin = time.monotonic()
    with _claimed(folder, _identity(job, shards)):
        for number, shard in enumerate(shards):
            path = folder / f"part-{number:0{max(5, len(str(len(shards) - 1)))}}.{job.format}"
            if path.exists():
                total += (counts := parts.count(path, job.format))
                report(counts)
            else:
                rest.append((path, shard))
        made = Counts()
        waits = retries.results(crew, job, [shard for _, shard in rest], work.make_part)
        for (path, _), wait in zip(rest, waits, strict=True):
            try:
                part = wait()
            except DataError as error:
                errors.append(error)
                continue
            with replacing(path) as file:
                file.write(part.content)
            made += part.counts
            report(part.counts)
        total += made
        if errors:
            raise DataError(
                f"{errors[0]}; {len(errors):,} of {len(shards):,} parts are missing, the others are in {folder}: "
                "mend this, and type the same command again"
            )
        if rest or not (folder / SUMMARY).exists():
            _summarize(job, total, made, time.monotonic() - begin, folder / SUMMARY)
    return total


def _identity(job: Job, shards: Sequence[Shard]) -> dict[str, Any]:
    """Return what the content of all parts depends on."""
    sources = hashlib.sha256()
    for shard in shards:
        sources.update(shard.identity.encode("utf-8", "surrogatepass") + b"\n")
    return {
        "model": job.sha256,
        "options": {
            "format": job.format,
            "many": job.options.many,
            "min_confidence": job.options.min_confidence,
            "pattern": job.options.pattern and job.options.pattern.symbols,
        },
        "sources": sources.hexdigest(),
        "versions": {"mnist_cli": __version__, "runtime": job.runtime},
    }


@contextmanager
def _claimed(folder: Path, identity: dict[str, Any]) -> Iterator[None]:
    """Lock the folder while the block runs, and make it, if there is none.

    Raises ConfigError when it holds other files, the output of another command, or what a process is writing now.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY) if hasattr(os, "O_DIRECTORY") else None  # on Windows a folder has no lock
    try:
        if descriptor is not None and not lock(descriptor):
            raise ConfigError(f"another process is writing to {folder}; wait for its end, or name another --output")
        _check_identity(folder, identity)
        for name in folder.glob(".*.tmp"):
            if name.name.startswith((".part-", f".{RUN}.", f".{SUMMARY}.")):  # of a process that was killed
                name.unlink()
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _check_identity(folder: Path, identity: dict[str, Any]) -> None:
    """Write what the parts depend on to a new folder, or raise ConfigError when the one there depends on anything else."""
    path = folder / RUN
    if not path.exists():
        if found := sorted(name for name in os.listdir(folder) if not name.startswith(".")):
            raise ConfigError(f"{folder} holds {found[0]}, which is not of this program; name a new folder as --output")
        with replacing(path) as file:
            file.write(json.dumps(identity, indent=2).encode() + b"\n")
        return
    try:
        with naming(path):
            before = json.loads(path.read_bytes())
        changed = next((what for key, what in IDENTITY.items() if before[key] != identity[key]), None)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is not of this program; name a new folder as --output") from error
    if changed:
        raise ConfigError(
            f"{folder} was begun with {changed}; name another --output, or go on as it was begun: see {path}"
        )


def _summarize(job: Job, total: Counts, made: Counts, seconds: float, path: Path) -> None:
    reasons = total.reasons.most_common(MAX_REASONS)
    others = total.reasons.total() - sum(count for _, count in reasons)
    # Of digits also those that no picture shows.
    counted = {**dict.fromkeys(DIGITS if total.digits.keys() <= set(DIGITS) else (), 0), **total.digits}
    summary = {
        "pictures": total.pictures,
        "unreadable": total.unreadable,
        "digits": dict(sorted(counted.items())),
        "reasons": {**dict(reasons), **({"others": others} if others else {})},
        "last_run": {
            "pictures": made.pictures,
            "seconds": round(seconds, 3),
            "pictures_per_second": round(made.pictures / max(seconds, 1e-3), 1),
        },
        "model": {"path": str(job.model), "sha256": job.sha256},
        "versions": {
            "mnist_cli": __version__,
            "python": platform.python_version(),
            "runtime": job.runtime,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }
    with replacing(path) as file:
        file.write(json.dumps(summary, indent=2).encode() + b"\n")
