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
    encodings,
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
    Kind("kills while training", kills.training, whole=30, share=1),
    Kind("kills while saving", kills.saving, whole=30, share=3),
    Kind("kills while downloading", kills.downloads, whole=30, share=3),
    Kind("kills while unpacking", kills.unpacking, whole=20, share=1),
    Kind("kills while writing a report", kills.reports, whole=20, share=1),
    Kind("signals", faults.signals, whole=10, share=1),
    Kind("disks", faults.disks, whole=1_000, share=3),
    Kind("hostile mirrors", network.hostile, whole=1_000, share=8),
    Kind("hostile clients of the service", soak.hostile, whole=1_000, share=4),
    Kind("processes of torchrun", torchrun.resumed, whole=100, share=2),
    Kind("rivals", faults.rivals, whole=4, share=1),
    Kind("containers on one disk", containers.writers, whole=300, share=8),
    Kind("odd surroundings", faults.surroundings, whole=1_000, share=2),
    Kind("encodings", encodings.encodings, whole=400, share=8),
    Kind("cores", machines.counted, whole=5_000, share=100),
    Kind("cores of programs", machines.programs, whole=30, share=1),
    Kind("networks", silence.networks, whole=100, share=2),
    Kind("combinations of options", options.combinations, whole=100, share=3),
    Kind("damaged pictures", pictures.damaged, whole=10_000, share=100),
    Kind("enormous, lying and false pictures", pictures.odd, whole=1_000, share=4),
    Kind("folders, pipes and devices as pictures", pictures.places, whole=1_000, share=1_000),
    Kind("HEIC and AVIF", rare_pictures.pictures, whole=2_000, share=30),
    Kind("pipes, devices and sparse files", devices.devices, whole=1_000, share=20),
    Kind("label files", labels.tables, whole=2_000, share=40),
    Kind("foreign data", foreign.folders, whole=500, share=5),
    Kind("commands on foreign data", foreign.commands, whole=60, share=1),
    Kind("damaged checkpoints", strangers.damaged, whole=3_000, share=40),
    Kind("checkpoints with a wrong value", strangers.changed, whole=3_000, share=40),
    Kind("checkpoints with code, bombs and devices", strangers.planted, whole=1_000, share=20),
    Kind("small checkpoints that ask for much", bombs.checkpoints_that_ask, whole=5_000, share=30),
    Kind("small ONNX files that ask for much", bombs.onnx_that_asks, whole=5_000, share=30),
    Kind("small pictures that ask for much", bombs.pictures_that_ask, whole=2_000, share=20),
    Kind("small configurations that ask for much", bombs.toml_that_asks, whole=2_000, share=30),
    Kind("damaged IDX files", strangers.damaged_idx, whole=5_000, share=200),
    Kind("damaged configurations", strangers.damaged_toml, whole=5_000, share=200),
]


def run(kind: Kind, count: int, seed: int, end: float) -> tuple[str, bool]:
    """Return a row of the table, and whether a trial failed; what is not tried at `end` is left."""
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
            why = " (ended by an error of the trials themselves)"
            print(f"{kind.name}: {traceback.format_exc()}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - begin
    return f"| {kind.name} | {tried:,}{why} | {failed:,} | {seconds:.0f} |", failed > 0
