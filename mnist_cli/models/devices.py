"""Devices, and settings of torch that apply to them."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mnist_cli.errors import ConfigError

DEVICES = re.compile(r"cpu|mps|cuda(:\d+)?")


def silence_compiler() -> None:
    """Keep torch's compiler from warning that there is no CUDA here, once for each compiled network."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def choose(name: str | None) -> torch.device:
    """Return the device of that name, or the best one available: CUDA, else MPS, else the CPU.

    Raises ConfigError when there is no such device on this machine.
    """
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if best == "cuda":
        best = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"  # torchrun gives each process on a machine a number
    wanted = best if name is None else name
    try:
        if not DEVICES.fullmatch(wanted):
            raise RuntimeError("not tried: torch may know such a device, but nothing here was ever run on it")
        device = torch.device(wanted)
        torch.empty(1, device=device)
    # Which of these torch raises depends on the device and on how torch was built.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f"there is no device {name!r} here; of cpu, cuda, cuda:1 and mps the best here is {best}"
        ) from error
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 numbers in hardware; a CPU without it emulates them, several times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type != "cpu" or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextmanager
def deterministic_operations(wanted: bool) -> Iterator[None]:
    """Use deterministic operations only, if `wanted`, in a `with` block; others raise RuntimeError."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS requires
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def computing_threads(count: int) -> Iterator[None]:
    """Set the number of CPU threads of torch in a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
