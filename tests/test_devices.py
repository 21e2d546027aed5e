"""Devices and number types: what is asked for, what this machine has."""

from __future__ import annotations

import pytest
import torch

from pipeline.devices import compute_dtype, native_bfloat16, usable_device
from pipeline.errors import UsageError


def test_a_device_that_is_not_here_is_refused() -> None:
    assert usable_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="no device named 'gpu'"):
        usable_device("gpu")
    with pytest.raises(UsageError, match="there is no cuda:99 here"):
        usable_device("cuda:99")


def test_auto_means_bfloat16_only_where_the_hardware_multiplies_it() -> None:
    cpu = torch.device("cpu")
    assert compute_dtype("auto", cpu) == ("bfloat16" if native_bfloat16(cpu) else "float32")
    assert compute_dtype("float32", cpu) == "float32" and compute_dtype("bfloat16", cpu) == "bfloat16"
