"""All kinds of trials, in the order of the table."""

import sys
import tempfile
import time
import traceback
from contextlib import closing
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
    many_pictures,
    network,
    options,
    pictures,
    rare_pictures,
    searches,
    silence,
    soak,
    standard,
    strangers,
    torchrun,
)

# In the order in which they begin; those of which a trial takes seconds are last, so that these are what a slow machine leaves out.
KINDS = [
    Kind("kills while training", kills.training, full=30, quick=1),
    Kind("kills while saving", kills.saving, full=50, quick=3),
    Kind("kills while downloading", kills.downloads, full=40, quick=3),
    Kind("kills while unpacking", kills.unpacking, full=20, quick=1),
    Kind("kills while writing a report", kills.reports, full=20, quick=1),
    Kind("kills while adding labelled pictures", kills.corrections, full=40, quick=3),
    Kind("hostile mirrors", network.hostile, full=1_000, quick=8),
    Kind("CPU quotas", machines.counted, full=5_000, quick=100),
    Kind("corrupted pictures", pictures.damaged, full=10_000, quick=100),
    Kind("enormous and malformed pictures", pictures.odd, full=1_000, quick=4),
    Kind("folders, pipes and devices as pictures", pictures.places, full=1_000, quick=1_000),
    Kind("HEIC and AVIF", rare_pictures.pictures, full=2_000, quick=30),
    Kind("pipes, devices and sparse files", devices.devices, full=1_000, quick=20),
    Kind("label files", labels.tables, full=2_000, quick=40),
    Kind("folders of other data", foreign.folders, full=500, quick=5),
    Kind("corrupted checkpoints", strangers.damaged, full=3_000, quick=40),
    Kind("checkpoints with an invalid value", strangers.changed, full=3_000, quick=40),
    Kind("checkpoints with code, decompression bombs or devices", strangers.planted, full=1_000, quick=20),
    Kind("small checkpoints that exhaust resources", bombs.costly_checkpoints, full=5_000, quick=30),
    Kind("small ONNX files that exhaust resources", bombs.costly_onnx, full=5_000, quick=30),
    Kind("small pictures that exhaust resources", bombs.costly_pictures, full=2_000, quick=20),
    Kind("small configurations that exhaust resources", bombs.costly_toml, full=2_000, quick=30),
    Kind("corrupted IDX files", strangers.damaged_idx, full=5_000, quick=200),
    Kind("corrupted configurations", strangers.damaged_toml, full=5_000, quick=200),
    Kind("pages that exhaust resources", bombs.costly_pages, full=100, quick=3),
    Kind("commands on costly models", standard.models, full=500, quick=12),
    Kind("commands on costly configurations and tables", standard.configurations, full=200, quick=4),
    Kind("commands on costly pictures", standard.pictures, full=200, quick=4),
    Kind("kills while predicting many pictures", many_pictures.kills, full=20, quick=1),
    Kind("kills while predicting on a cluster", many_pictures.kills_on_cluster, full=20, quick=3),
    Kind("kills while searching", searches.kills, full=20, quick=1),
    Kind("kills while searching on a cluster", searches.kills_on_cluster, full=20, quick=1),
    Kind("signals", faults.signals, full=10, quick=1),
    Kind("disk faults", disks.disks, full=1_000, quick=3),
    Kind("hostile clients of the service", soak.hostile, full=1_000, quick=4),
    Kind("containers on one disk", containers.writers, full=300, quick=8),
    Kind("commands on other data", foreign.commands, full=60, quick=1),
    Kind("CPU quotas of programs", machines.programs, full=30, quick=1),
    Kind("combinations of options", options.combinations, full=100, quick=3),
    Kind("network contacts", silence.networks, full=30, quick=2),
    Kind("encodings", encodings.encodings, full=80, quick=8),
    Kind("concurrent programs", faults.concurrent, full=4, quick=1),
    Kind("unusual environments", environments.environments, full=1_000, quick=2),
    Kind("torchrun", torchrun.resumed, full=20, quick=2),
]


def run(kind: Kind, count: int, seed: int, end: float) -> tuple[str, bool]:
    """Return a row of the table, and whether a trial failed; trials not begun at `end` are omitted."""
    tried = failed = 0
    why = ""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, closing(kind.run(count, seed, Path(folder))) as outcomes:
        try:
            for failure in outcomes:
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
