"""Which processor networks run on, and which number type it multiplies natively."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from pipeline.errors import UsageError

DtypeChoice = Literal["auto", "float32", "bfloat16"]


def usable_device(choice: str) -> torch.device:
    """``"auto"`` is the first GPU if there is one, else the CPU.

    Raises:
        UsageError: the text names no device, or one that this machine has not.
    """
    if choice == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(choice)
    except RuntimeError:
        raise UsageError(f"no device named {choice!r}; there are auto, cpu and cuda:N") from None
    num_gpus = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and (device.index or 0) >= num_gpus):
        raise UsageError(f"there is no {choice} here: this machine has {num_gpus} CUDA devices; use cpu or auto")
    return device


def native_bfloat16(device: torch.device) -> bool:
    """Does the hardware multiply bfloat16? On a CPU that is AMX or AVX-512 BF16; elsewhere it is emulated and slow."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def compute_dtype(choice: DtypeChoice, device: torch.device) -> Literal["float32", "bfloat16"]:
    """What ``"auto"`` means on a device: bfloat16 where the hardware multiplies it, else float32."""
    if choice == "auto":
        return "bfloat16" if native_bfloat16(device) else "float32"
    return choice


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
