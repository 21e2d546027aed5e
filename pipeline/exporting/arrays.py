"""`npz` and `npy`: what numpy reads, without pickles."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np

from pipeline.exporting.records import write_clips
from pipeline.exporting.selection import Selection


def write_npz(selection: Selection, folder: Path) -> None:
    """One ``FEATURE.npz`` each, uncompressed: values, times, offsets, clip_ids; and the clip table."""
    write_clips(folder, selection)
    for feature in selection.features:
        with zipfile.ZipFile(folder / f"{feature}.npz", "w", zipfile.ZIP_STORED) as archive:
            for name, parts in _arrays(selection, feature).items():
                # A ZipInfo of its own has no time of writing: the same rows give the same bytes.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                    _write_array(file, *parts)
            with archive.open(zipfile.ZipInfo("clip_ids.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(selection.clip_ids(), np.str_), allow_pickle=False)


def write_npy(selection: Selection, folder: Path) -> None:
    """One folder a feature with ``values.npy``, ``times.npy`` and ``offsets.npy``; and the clip table."""
    write_clips(folder, selection)
    for feature in selection.features:
        (folder / feature).mkdir()
        for name, parts in _arrays(selection, feature).items():
            with (folder / feature / f"{name}.npy").open("wb") as file:
                _write_array(file, *parts)


def _arrays(selection: Selection, feature: str) -> dict[str, tuple[tuple[int, ...], np.dtype, Iterable[np.ndarray]]]:
    """Shape, type and blocks of each array of a feature."""
    num_rows, offsets = int(selection.lengths(feature).sum()), selection.offsets(feature)
    return {"values": ((num_rows, *selection.row_shape(feature)), selection.dtype(feature),
                       selection.value_blocks(feature)),
            "times": ((num_rows, 2), np.dtype(np.float32), selection.time_blocks(feature)),
            "offsets": (offsets.shape, offsets.dtype, [offsets])}


def _write_array(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype, blocks: Iterable[np.ndarray]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for block in blocks:
        file.write(np.ascontiguousarray(block).data)
