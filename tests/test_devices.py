import os

import pytest
import torch

from mnist_cli.errors import ConfigError
from mnist_cli.models import devices


def test_a_device_can_be_named():
    assert devices.choose("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_without_a_name_the_best_device_is_chosen(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    assert devices.choose(None).type == best
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.choose(None).index == (1 if cuda else None)


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


@pytest.mark.parametrize("has_it", [True, False])
def test_the_processor_or_the_gpu_says_whether_it_has_bfloat16(monkeypatch, has_it):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_it)
    for name in ("cpu", "cuda"):
        assert devices.has_fast_bfloat16(torch.device(name)) is has_it
