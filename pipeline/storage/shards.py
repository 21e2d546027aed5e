"""Finished shards beside a store: read together with it, and packed into it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.clip import Clip, Corpus
from pipeline.curation.contents import read_contents
from pipeline.errors import StoreError
from pipeline.storage.columns import same
from pipeline.storage.packing import clip_columns
from pipeline.storage.parts import PartsStore
from pipeline.storage.writing import write_file
from pipeline.store import CLIP_COLUMNS, FeatureStore

if TYPE_CHECKING:
    from pipeline.recipes import PlannedFeature

BYTES_PER_CLIP = 512            # of the clip table: ids, words, paths, labels; on the safe side
BYTES_PER_CELL = 128            # of a clip's part of a feature, beside its rows
BYTES_PER_FEATURE = 1 << 20     # recipe, and the gaps between arrays that begin at multiples of 4096 bytes


def shard_folder(store: Path) -> Path:
    """Where the finished shards of a store lie: ``STORE.shards``."""
    return store.with_name(store.name + ".shards")


def finished_shards(folder: Path) -> list[Path]:
    """Finished shards of a folder, oldest first: their names begin with the time of their run."""
    return sorted(folder.glob("*.h5"))


def open_store(path: str | Path) -> FeatureStore:
    """Open a store with the finished shards that lie beside it, as ``extract --no-pack`` leaves them.

    Without shards this is :class:`FeatureStore`, mapped into memory; with them a :class:`PartsStore`, which reads the
    same, but whose :meth:`~FeatureStore.array` copies all rows into memory.

    Raises:
        StoreError: neither is there, or one cannot be read.
    """
    path = Path(path)
    shards = finished_shards(shard_folder(path))
    return PartsStore(path, [*_packed(path), *shards]) if shards else FeatureStore(path)


def pack(out: Path, shards: Path, corpus: Corpus, clips: Sequence[Clip], drop: Sequence[PlannedFeature] = (), *,
         requests: Sequence[Mapping[str, Any]] = (), progress: Callable[[int, int], None] | None = None) -> Path:
    """Join the store at ``out``, if there is one, with finished shards into a new store in its place.

    Rows pass through a few megabytes of memory, whatever the size of the store and the number of shards; a kill at any
    moment leaves the old store or the new one, and what is joined twice stays the same.

    Args:
        out: the store.
        shards: folder of shards; removed afterwards.
        corpus, clips: of the dataset; stored clips that are not among ``clips`` are kept behind them.
        drop: features whose stored rows are not kept when they were made in another way.
        requests: the runs that are added by this, oldest first; see ``docs/format.md``.
        progress: told bytes of rows that are done, and all of them.

    Returns:
        ``out``.

    Raises:
        StoreError: a part cannot be read, is damaged or is of another corpus, or the disk has too little room or cannot
            be written.
    """
    parts = [*_packed(out), *finished_shards(shards)]
    if parts:
        store = PartsStore(out, parts, corpus=corpus, clips=clip_columns(clips, corpus, {}) if clips else None,
                           drop={feature.name: feature.fingerprint for feature in drop})
        if parts != [out] or not _same_clips(store, FeatureStore(out)):
            for part in parts:
                _check_tables(part)
            _write(store, requests, progress)
    shutil.rmtree(shards, ignore_errors=True)
    return out


def count_shards(path: Path) -> int:
    """How many finished shards lie beside a store, which need not be there itself yet.

    Raises:
        StoreError: there are none, and no store either.
    """
    shards = finished_shards(shard_folder(path))
    return len(shards) if shards else FeatureStore(path).num_shards


def pack_store(path: Path, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Pack the finished shards that lie beside a store into it; without any, nothing is done.

    Args:
        path: the store, which need not be there yet.
        progress: see :func:`pack`.

    Returns:
        ``path``.

    Raises:
        StoreError: see :func:`pack`.
    """
    shards = finished_shards(shard_folder(path))
    return pack(path, shard_folder(path), FeatureStore(shards[-1]).corpus, (), progress=progress) if shards else path


def bytes_to_pack(store: PartsStore) -> int:
    """About how many bytes the packed form of a store takes, which lies beside its parts until it is whole."""
    num_features = len(store.features)
    per_clip = BYTES_PER_CLIP + BYTES_PER_CELL * num_features
    return store.num_row_bytes + per_clip * store.num_clips + BYTES_PER_FEATURE * (1 + num_features)


def check_space(store: PartsStore) -> None:
    """Refuse to begin packing that the disk has no room for.

    Raises:
        StoreError: with what is needed, what is free and what to do.
    """
    needed, free = bytes_to_pack(store), shutil.disk_usage(store.path.parent).free
    if needed > free:
        raise StoreError(f"packing {store.path} needs {needed / 1e9:.2f} GB beside the {store.num_shards} finished"
                         f" shards in {shard_folder(store.path)}, and the disk has {free / 1e9:.2f} GB free. Make room,"
                         f" then run: python -m pipeline pack {store.path} ; or leave the shards as they are (extract"
                         " --no-pack does), other commands read them too")


def _write(store: PartsStore, requests: Sequence[Mapping[str, Any]],
           progress: Callable[[int, int], None] | None) -> None:
    check_space(store)
    done, total = 0, store.num_row_bytes

    def written(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        if progress is not None:
            progress(done, total)

    columns = (*CLIP_COLUMNS, *(f"labels/{task.name}" for task in store.corpus.tasks))
    write_file(store.path, corpus=store.corpus, clips={name: store.encoded(name) for name in columns},
               features=((name, store.feature_rows(name)) for name in store.features),
               requests=[*store.requests, *requests], attributes=store.extra_attributes, written=written)


def _check_tables(part: Path) -> None:
    """Refuse to write a damaged table again, which would then pass for a whole one; rows keep their own digests."""
    contents = read_contents(part)
    tables = [contents.clips, *(feature.table for feature in contents.features.values())]
    if not all(table.intact(contents.num_clips).all() for table in tables):
        raise StoreError(f"{part} is damaged (a row of its tables is not as it was written); see what with: python -m"
                         f" pipeline verify {part}, and mend it with --repair")


def _packed(path: Path) -> list[Path]:
    return [path] if path.exists() else []


def _same_clips(store: FeatureStore, packed: FeatureStore) -> bool:
    """Would packing write the same clip table again?"""
    columns = (*CLIP_COLUMNS, *(f"labels/{task.name}" for task in store.corpus.tasks))
    return store.corpus == packed.corpus and all(same(store.encoded(name), packed.encoded(name)) for name in columns)
