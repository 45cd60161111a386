"""All kinds of trials, in the order of the table."""

import sys
import tempfile
import time
import traceback
from pathlib import Path

from torture import (
    Kind,
    Skipped,
    bombs,
    containers,
    devices,
    disks,
    encodings,
    environments,
    faults,
    foreign,
    kills,
    labels,
    machines,
    network,
    options,
    pictures,
    rare_pictures,
    silence,
    soak,
    strangers,
    torchrun,
)

KINDS = [
    Kind("kills while training", kills.training, full=30, quick=1),
    Kind("kills while saving", kills.saving, full=30, quick=3),
    Kind("kills while downloading", kills.downloads, full=30, quick=3),
    Kind("kills while unpacking", kills.unpacking, full=20, quick=1),
    Kind("kills while writing a report", kills.reports, full=20, quick=1),
    Kind("signals", faults.signals, full=10, quick=1),
    Kind("disk faults", disks.disks, full=1_000, quick=3),
    Kind("hostile mirrors", network.hostile, full=1_000, quick=8),
    Kind("hostile clients of the service", soak.hostile, full=1_000, quick=4),
    Kind("torchrun", torchrun.resumed, full=100, quick=2),
    Kind("concurrent programs", faults.concurrent, full=4, quick=1),
    Kind("containers on one disk", containers.writers, full=300, quick=8),
    Kind("unusual environments", environments.environments, full=1_000, quick=2),
    Kind("encodings", encodings.encodings, full=400, quick=8),
    Kind("CPU quotas", machines.counted, full=5_000, quick=100),
    Kind("CPU quotas of programs", machines.programs, full=30, quick=1),
    Kind("network contacts", silence.networks, full=100, quick=2),
    Kind("combinations of options", options.combinations, full=100, quick=3),
    Kind("corrupted pictures", pictures.damaged, full=10_000, quick=100),
    Kind("enormous and malformed pictures", pictures.odd, full=1_000, quick=4),
    Kind("folders, pipes and devices as pictures", pictures.places, full=1_000, quick=1_000),
    Kind("HEIC and AVIF", rare_pictures.pictures, full=2_000, quick=30),
    Kind("pipes, devices and sparse files", devices.devices, full=1_000, quick=20),
    Kind("label files", labels.tables, full=2_000, quick=40),
    Kind("folders of other data", foreign.folders, full=500, quick=5),
    Kind("commands on other data", foreign.commands, full=60, quick=1),
    Kind("corrupted checkpoints", strangers.damaged, full=3_000, quick=40),
    Kind("checkpoints with an invalid value", strangers.changed, full=3_000, quick=40),
    Kind("checkpoints with code, decompression bombs or devices", strangers.planted, full=1_000, quick=20),
    Kind("small checkpoints that exhaust resources", bombs.costly_checkpoints, full=5_000, quick=30),
    Kind("small ONNX files that exhaust resources", bombs.costly_onnx, full=5_000, quick=30),
    Kind("small pictures that exhaust resources", bombs.costly_pictures, full=2_000, quick=20),
    Kind("small configurations that exhaust resources", bombs.costly_toml, full=2_000, quick=30),
    Kind("corrupted IDX files", strangers.damaged_idx, full=5_000, quick=200),
    Kind("corrupted configurations", strangers.damaged_toml, full=5_000, quick=200),
]


def run(kind: Kind, count: int, seed: int, end: float) -> tuple[str, bool]:
    """Return a row of the table, and whether a trial failed; trials not begun at `end` are omitted."""
    tried = failed = 0
    why = ""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for failure in kind.run(count, seed, Path(folder)):
                tried += 1
                if failure:
                    failed += 1
                    print(f"{kind.name}: {failure}", file=sys.stderr, flush=True)
                if time.time() > end:
                    why = " (out of time)"
                    break
        except Skipped as reason:
            why = f" (ended: {reason})"
        except Exception:
            failed += 1
            why = " (ended by an error in the trials themselves)"
            print(f"{kind.name}: {traceback.format_exc()}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - begin
    return f"| {kind.name} | {tried:,}{why} | {failed:,} | {seconds:.0f} |", failed > 0
