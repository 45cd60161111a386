"""Record the host names and addresses that a program looks up or connects to, also from native code, and block them."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from torture import Skipped

SOURCE = Path(__file__).with_suffix(".c")
# Variables that disable the telemetry of libraries: onnxruntime sends none from machines of continuous integration.
DISABLING = {
    "CI", "CIRCLECI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "TEAMCITY_VERSION", "TF_BUILD", "TRAVIS",
    "DO_NOT_TRACK", "ORT_DISABLE_TELEMETRY",
}  # fmt: skip
PROBE = "import ctypes; ctypes.CDLL(None).getaddrinfo(b'recorder.invalid', None, None, None)"


@dataclass(frozen=True)
class Recorder:
    """A library that is loaded into every process with the `environment` of this recorder."""

    preload: Path
    log: Path

    def environment(self) -> dict[str, str]:
        """Return this process's environment with the recorder, and without variables that disable telemetry."""
        kept = {name: value for name, value in os.environ.items() if name not in DISABLING}
        return {**kept, "LD_PRELOAD": str(self.preload), "RECORDER_LOG": str(self.log)}

    def contacts(self) -> list[str]:
        """Return what was looked up and connected to beyond this machine, each once."""
        return sorted(set(self.log.read_text(errors="replace").splitlines())) if self.log.exists() else []


def build(folder: Path) -> Recorder:
    """Compile the recorder and check that it works; raises Skipped where that is not possible."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or not compiler:
        raise Skipped("there is no C compiler here" if sys.platform == "linux" else "this is not Linux")
    recorder = Recorder(folder / "recorder.so", folder / "recorder.log")
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", recorder.preload, SOURCE, "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"the recorder cannot be compiled: {done.stderr.strip()[:200]}")
    subprocess.run([sys.executable, "-c", PROBE], env=recorder.environment(), check=False)
    if recorder.contacts() != ["look-up recorder.invalid"]:
        raise Skipped("the C library here does not load the recorder")
    recorder.log.unlink()
    return recorder
