"""Run trials in a new interpreter with other environment variables, which Python reads only when it starts."""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from torture import Outcomes

ROOT = Path(__file__).parent.parent


def run(kind: str, count: int, seed: int, folder: Path, environment: Mapping[str, str]) -> Outcomes:
    """Yield the outcomes of `kind`, named as `module:function`, with these environment variables in addition."""
    command = [sys.executable, "-m", "torture.elsewhere", kind, str(count), str(seed), str(folder)]
    values = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=values, start_new_session=True) as process:
        assert process.stdout
        try:
            for line in process.stdout:
                yield json.loads(line)
        except GeneratorExit:  # out of time
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            raise
    if process.returncode:
        yield f"the trials ended with exit status {process.returncode}"


def main() -> None:
    """Print one outcome per line, as ASCII JSON, independent of the encoding of the stream."""
    kind, count, seed, folder = sys.argv[1:]
    module, _, name = kind.partition(":")
    stream = os.fdopen(os.dup(1), "wb")
    for outcome in getattr(importlib.import_module(module), name)(int(count), int(seed), Path(folder)):
        stream.write(json.dumps(outcome).encode() + b"\n")
        stream.flush()


if __name__ == "__main__":
    main()
