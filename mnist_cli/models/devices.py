"""Devices, and settings of torch that apply to them."""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mnist_cli.errors import ConfigError, first_line

DEVICES = re.compile(r"cpu|mps|cuda(:\d+)?")
# Which of these torch raises for a device that cannot be used depends on the device and on how torch was built.
ERRORS = (RuntimeError, AssertionError, NotImplementedError)


def silence_compiler() -> None:
    """Keep torch's compiler from warning that there is no CUDA here, once for each compiled network."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def choose(name: str | None) -> torch.device:
    """Return the device of that name, or the best one that can be used: CUDA, else MPS, else the CPU.

    Of several GPUs `cuda` is the first one, or that of the process where torchrun started it. The GPU becomes the current one,
    on which CUDA graphs are captured.

    Raises ConfigError when there is no such device on this machine.
    """
    wanted = best() if name is None else _of_this_process() if name == "cuda" else name
    try:
        if not DEVICES.fullmatch(wanted):
            raise RuntimeError("not tried: torch may know such a device, but nothing here was ever run on it")
        device = torch.device(wanted)
        run_kernel(device)
    except ERRORS as error:
        raise ConfigError(
            f"there is no device {name!r} here; of cpu, cuda, cuda:1 and mps the best here is {best()}"
        ) from error
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def best() -> str:
    """Return the best device that can be used; warns of a GPU that cannot, such as one with an old driver.

    A GPU that this build of torch has no kernels for is available all the same, so a kernel is run on it.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        has_gpu = torch.cuda.is_available()
    try:
        if has_gpu:
            run_kernel(torch.device(_of_this_process()))
            return _of_this_process()
        why = str(told[0].message) if told else None
    except ERRORS as error:
        why = str(error)
    other = "mps" if torch.backends.mps.is_available() else "cpu"
    if why:
        warnings.warn(f"The GPU cannot be used, so the {other} is: {first_line(why)}", stacklevel=3)
    return other


def run_kernel(device: torch.device) -> None:
    """Compute something on a device; raises one of ERRORS when it cannot."""
    torch.ones(2, device=device).sum().item()


def _of_this_process() -> str:
    """Return the GPU of this process: torchrun gives each process on a machine a number."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


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


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Let this thread take denormal numbers, those below 1e-38, for zero in a `with` block.

    The averages of Adam for units that are never active decay to such numbers, with which some processors are many times slower.
    """
    before = not torch.full((), 1e-39).mul(1).item()  # torch does not tell
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
