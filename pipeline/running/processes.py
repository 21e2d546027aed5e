"""The process that a worker runs in: its device, and what it takes over from its parent."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from joblib.externals.loky import process_executor


def worker_device(choice: str) -> torch.device:
    """The device of this process: workers are numbered one after the other, which spreads them over the GPUs."""
    from multiprocessing import current_process
    if choice != "cuda":
        return torch.device(choice)
    number = int("0" + "".join(filter(str.isdigit, current_process().name)))
    return torch.device("cuda", number % torch.cuda.device_count())


def is_worker() -> bool:
    from multiprocessing import parent_process
    return parent_process() is not None


def work_like_parent(folder: Path, environment: Mapping[str, str]) -> None:
    """A worker process may have been started for another run: take over this one's folder and variables."""
    # With psutil there, loky takes networks that are loaded and memory that is kept for a leak and ends the process.
    process_executor._USE_PSUTIL = False
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith("PIPELINE_")]:
        del os.environ[name]
    os.environ.update(environment)
