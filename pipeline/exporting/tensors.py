"""`safetensors`: one file of tensors that is read without running anything.

The library's own writer takes all tensors in memory; the format is a length, a JSON header and the bytes
(https://github.com/huggingface/safetensors#format), so they are written here block by block.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import StoreError
from pipeline.exporting.records import recipe_of, write_clips
from pipeline.exporting.selection import Selection

DTYPES = {"float32": "F32", "float16": "F16", "uint8": "U8", "int64": "I64"}
MOST_HEADER_BYTES = 100_000_000     # readers of the format refuse longer ones
FILE_NAME = "features.safetensors"


def write(selection: Selection, folder: Path) -> None:
    """``features.safetensors`` with FEATURE.values, .times and .offsets, clip ids in its metadata; the clip table.

    Raises:
        StoreError: the ids of the clips do not fit the format's header.
    """
    write_clips(folder, selection)
    tensors: list[tuple[str, np.dtype, tuple[int, ...], Iterable[np.ndarray]]] = []
    for feature in selection.features:
        num_rows, offsets = int(selection.lengths(feature).sum()), selection.offsets(feature)
        tensors += [(f"{feature}.offsets", offsets.dtype, offsets.shape, [offsets]),
                    (f"{feature}.times", np.dtype(np.float32), (num_rows, 2), selection.time_blocks(feature)),
                    (f"{feature}.values", selection.dtype(feature), (num_rows, *selection.row_shape(feature)),
                     selection.value_blocks(feature))]
    tensors.sort(key=lambda tensor: -tensor[1].itemsize)    # wide numbers first, so that all of them are aligned
    with (folder / FILE_NAME).open("wb") as file:
        file.write(_header(selection, [tensor[:3] for tensor in tensors]))
        for *_, blocks in tensors:
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)


def _header(selection: Selection, tensors: list[tuple[str, np.dtype, tuple[int, ...]]]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {
        "dataset": selection.store.corpus.name, "clip_ids": json.dumps(selection.clip_ids()),
        **{f"{feature}.recipe": json.dumps(recipe_of(selection, feature)) for feature in selection.features}}}
    start = 0
    for name, dtype, shape in tensors:
        stop = start + dtype.itemsize * int(np.prod(shape))
        header[name] = {"dtype": DTYPES[str(dtype)], "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MOST_HEADER_BYTES:
        raise StoreError(f"the ids of {len(selection)} clips take {len(text):,} bytes, but the safetensors format has"
                         f" room for {MOST_HEADER_BYTES:,}; export fewer --splits, or --format npz")
    return struct.pack("<Q", len(text)) + text
