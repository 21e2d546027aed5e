"""A store's features in the layouts that other programs read; one file of this package writes each.

Every export is a new folder that appears whole or not at all, with ``export.json`` (how each feature was made, and its
digest) and ``TERMS.txt`` (the corpus's terms); ``tracks`` is one file. ``docs/export.md`` describes the layouts.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import setting
from pipeline.errors import StoreError, UsageError, unknown_name
from pipeline.exporting import arrays, huggingface, mmsa, tables, tensors, tracks
from pipeline.exporting.records import write_records
from pipeline.exporting.selection import Selection, choose_clips, choose_features
from pipeline.speaking.tracks import face_features
from pipeline.storage.durable import PRIVATE, PRIVATE_FOLDER, new_folder
from pipeline.storage.layout import holds_identities
from pipeline.store import FeatureStore

WRITERS: Mapping[str, Callable[[Selection, Path], None]] = {
    "npz": arrays.write_npz, "npy": arrays.write_npy, "parquet": tables.write, "safetensors": tensors.write,
    "huggingface": huggingface.write, "mmsa": mmsa.write,
}
TRACKS = "tracks"  # the format that is one file and no folder
FORMATS = (*WRITERS, TRACKS)


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and how."""

    format: str = setting("npz", "npz, npy, parquet, safetensors, huggingface, mmsa or tracks")
    features: tuple[str, ...] | None = setting(None, "names; all by default")
    splits: tuple[str, ...] | None = setting(None, "names; all by default")
    float16: bool = setting(False, "floats with half the bytes and about three digits; times stay float32")
    share: bool = setting(False, "leave out text, paths, pixels, waveforms and identities")
    i_have_permission: str | None = setting(None, "with share: who allowed what the corpus's terms do not")
    task: str | None = setting(None, "for mmsa, which knows one task: its name")


@dataclass(frozen=True)
class Export:
    """What was written.

    Args:
        folder: where; the file of ``tracks``.
        num_clips: clips in it.
        rows: rows by feature.
        num_bytes: of all files.
        notes: what was left out or cut, a line each.
    """

    folder: Path
    num_clips: int
    rows: Mapping[str, int]
    num_bytes: int
    notes: tuple[str, ...]


def export(store: FeatureStore, folder: Path, config: ExportConfig = ExportConfig(), *,
           progress: Callable[[int, int], None] | None = None) -> Export:
    """Write features of a store in another layout.

    Args:
        store: where they are.
        folder: a new one, or an empty one; for ``tracks`` a new file that ends in .csv or .json.
        config: what and how.
        progress: told how many rows are written, of how many.

    Raises:
        StoreError: a feature, split or task is not there, numbers do not fit float16, the folder holds something
            already, or it cannot be written.
        UsageError: options that contradict, terms that forbid to pass on, or a package that is missing.
    """
    if config.format not in FORMATS:
        raise unknown_name("format", config.format, FORMATS)
    _check_terms(store, config)
    selection = _select_faces(store, config) if config.format == TRACKS else _select(store, config)
    total, done = selection.num_rows, 0

    def advance(num_rows: int) -> None:
        nonlocal done
        done += num_rows
        if progress is not None:
            progress(done, total)

    selection = dataclasses.replace(selection, advance=advance)
    try:
        num_bytes = (_write_tracks if config.format == TRACKS else _write_folder)(selection, folder, config)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}; nothing is left there. Check free space"
                         " and permissions, then run the same command again") from error
    return Export(folder, len(selection), {name: int(selection.lengths(name).sum()) for name in selection.features},
                  num_bytes, selection.notes)


def _write_folder(selection: Selection, folder: Path, config: ExportConfig) -> int:
    """Write an export that is a folder; its size in bytes."""
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise StoreError(f"{folder} is there already; an export is a new folder: choose another --out, or remove it")
    if selection.float16:
        _check_float16(selection)
    private = any(holds_identities(selection.store.head(name)) for name in selection.features)
    with new_folder(Path(os.path.abspath(folder))) as temporary:
        if private:  # nobody but the owner, from the first byte on
            temporary.chmod(PRIVATE_FOLDER)
        WRITERS[config.format](selection, temporary)
        write_records(temporary, selection, config.format)
        for path in temporary.rglob("*") if private else ():
            path.chmod(PRIVATE_FOLDER if path.is_dir() else PRIVATE)
        return sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())


def _write_tracks(selection: Selection, out: Path, config: ExportConfig) -> int:
    """Write an export that is a file; its size in bytes."""
    tracks.check_name(out, share=config.share)
    if os.path.lexists(out):
        raise StoreError(f"{out} is there already; an export is a new file: choose another --out, or remove it")
    return tracks.write(selection, face_features(selection.store, selection.features[0])[1], out)


def _select_faces(store: FeatureStore, config: ExportConfig) -> Selection:
    for given, name in ((config.task is not None, "--task"), (config.float16, "--float16")):
        if given:
            raise UsageError(f"{name} is not for --format {TRACKS}; leave it out")
    if config.features is not None and len(config.features) != 1:
        raise UsageError(f"--format {TRACKS} writes one feature of faces, found --features"
                         f" {','.join(config.features)}; name one, or none")
    faces, _ = face_features(store, config.features[0] if config.features else None)
    return Selection(store, choose_clips(store, config.splits), (faces,), share=config.share,
                     permission=config.i_have_permission)


def _check_terms(store: FeatureStore, config: ExportConfig) -> None:
    permission, corpus = config.i_have_permission, store.corpus
    if permission is not None and not config.share:
        raise UsageError("--i-have-permission is for --share: without it nothing is refused")
    if permission is not None and not permission.strip():
        raise UsageError("--i-have-permission is empty; say who gave it, when and for what")
    if config.share and permission is None and corpus.redistribute not in ("yes", "non-commercial"):
        where = f", {corpus.terms_url}" if corpus.terms_url else ""
        raise UsageError(f"the terms of {corpus.name} ({corpus.licence}{where}) do not allow to pass on what is made"
                         " from it, so --share refuses. If its owner allowed it: --i-have-permission 'WHO, WHEN, FOR"
                         " WHAT', which is written into the export")


def _select(store: FeatureStore, config: ExportConfig) -> Selection:
    common = {"float16": config.float16, "share": config.share, "permission": config.i_have_permission}
    if config.format == "mmsa":
        task = mmsa.choose_task(store, config.task)
        features = mmsa.narrow_features(store, config.features, share=config.share)
        places, notes = mmsa.choose_labelled_clips(store, config.splits, task)
        return mmsa.with_notes(Selection(store, places, features, task=task, notes=notes, **common))  # type: ignore
    if config.task is not None:
        raise UsageError(f"--task is for --format mmsa; {config.format} holds the labels of all tasks")
    chosen, notes = choose_features(store, config.features, share=config.share)
    selection = Selection(store, choose_clips(store, config.splits), chosen, notes=notes, **common)  # type: ignore
    return tables.narrow(selection) if config.format == "parquet" else selection


def _check_float16(selection: Selection) -> None:
    for feature in selection.features:
        number = selection.count_overflow(feature) if selection.dtype(feature).kind == "f" else 0
        if number:
            raise StoreError(f"{number:,} numbers of {feature} are larger than float16 holds (65,504) and would become"
                             " infinite; export without --float16, or leave the feature out with --features")
