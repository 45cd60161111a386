import os
import warnings

import pytest
import torch

from mnist_cli.errors import ConfigError
from mnist_cli.models import devices


def test_a_device_can_be_named():
    assert devices.choose("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_without_a_name_the_best_device_is_chosen(monkeypatch, cuda, mps, best):
    current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(devices, "run_kernel", lambda device: None)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert devices.choose(None).type == best
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.choose(None).index == (1 if cuda else None)
    assert [device.index for device in current] == ([0, 1] if cuda else [])
    assert devices.choose("cuda") == torch.device("cuda:1")  # as torchrun says, also where CUDA is named


def no_kernel(device):
    if device.type == "cuda":
        raise RuntimeError(
            "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might"
        )


def old_driver():
    warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old", stacklevel=1)
    return False


@pytest.mark.parametrize(
    ("is_available", "why"),
    [
        (lambda: True, "no kernel image is available for execution on the device$"),
        (old_driver, "driver .* is too old$"),
    ],
    ids=["no kernel image", "old driver"],
)
def test_a_gpu_that_cannot_be_used_is_told_in_a_sentence_and_the_cpu_is_used(monkeypatch, is_available, why):
    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(devices, "run_kernel", no_kernel)
    with pytest.warns(UserWarning, match=f"^The GPU cannot be used, so the cpu is: CUDA .*{why}") as told:
        assert devices.choose(None) == torch.device("cpu")
    assert len(told) == 1
    with pytest.warns(UserWarning, match=why), pytest.raises(ConfigError, match=r"no device .cuda:1. here; .* is cpu"):
        devices.choose("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "cuda:77", "cpu:x", "", "meta", "hpu", "mkldnn"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ConfigError, match=f"no device '{name}'"):
        devices.choose(name)


def test_operations_that_vary_are_forbidden_only_as_long_as_that_is_wanted(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for wanted in (False, True):
        with devices.deterministic_operations(wanted):
            assert torch.are_deterministic_algorithms_enabled() is wanted
            assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if wanted else None)
        assert not torch.are_deterministic_algorithms_enabled()


def test_threads_are_set_for_as_long_as_they_are_wanted():
    before = torch.get_num_threads()
    with devices.computing_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def denormal_product():
    return torch.full((), 1e-39).mul(1).item()


@pytest.mark.parametrize("before", [False, True])
def test_denormal_numbers_are_zero_for_as_long_as_that_is_wanted(before):
    if not torch.set_flush_denormal(before):
        pytest.skip("this processor cannot")
    try:
        with devices.denormals_as_zero():
            assert denormal_product() == 0
        assert (denormal_product() == 0) is before
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("has_it", [True, False])
def test_the_processor_or_the_gpu_says_whether_it_has_bfloat16(monkeypatch, has_it):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_it)
    for name in ("cpu", "cuda"):
        assert devices.has_fast_bfloat16(torch.device(name)) is has_it
