"""Run all trials, or those whose names are given, and print the table.

python -m torture [--seed 1] [--quick] [--count N] [--jobs 2] [--minutes 35] [KIND...]
"""

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed

from torture.kinds import KINDS, run


def main() -> None:
    """Print a row for each kind; two run at a time, because most of them spend much of their time waiting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="; ".join(kind.name for kind in KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only as many trials as the tests run")
    parser.add_argument("--count", type=int, help="number of trials of each kind")
    parser.add_argument("--jobs", type=int, default=2, help="kinds to run at a time")
    parser.add_argument("--minutes", type=float, default=35, help="each kind stops after this time, as its row shows")
    arguments = parser.parse_args()
    if unknown := set(arguments.kinds) - {kind.name for kind in KINDS}:
        parser.error(f"there is no kind {min(unknown)!r}; choose from {'; '.join(kind.name for kind in KINDS)}")
    kinds = [kind for kind in KINDS if not arguments.kinds or kind.name in arguments.kinds]
    counts = [arguments.count or (kind.quick if arguments.quick else kind.full) for kind in kinds]
    print(f"seed {arguments.seed}\n\n| what | tried | failures | seconds |\n| --- | --- | --- | --- |", flush=True)
    failed, end = False, time.time() + 60 * arguments.minutes
    # Each kind in a process of its own: some change the state of their process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        rows = [pool.submit(run, kind, count, arguments.seed, end) for kind, count in zip(kinds, counts, strict=True)]
        for done in as_completed(rows):
            row, has_failed = done.result()
            print(row, flush=True)
            failed |= has_failed
    sys.exit(failed)


if __name__ == "__main__":
    main()
