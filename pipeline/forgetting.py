"""Taking a person out of a gallery and of stores, so that nothing of them is left in the files.

Every file is written anew beside the old one and takes its place when it is whole. The person's name and prototypes go
last, so that a run that was killed is finished by the same command. What a disk keeps of files that are gone, and
copies elsewhere, are out of this program's reach.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.curation.contents import (Choice, FeaturePart, StoreContents, gather_column, gather_feature,
                                        read_contents, read_rows)
from pipeline.errors import StoreError, UsageError, unknown_name
from pipeline.faces.gallery import (NAMES, Prototypes, check_same_feature, check_same_width, name_key, read_names,
                                    read_prototypes)
from pipeline.identities import CLUSTERS, PAGE, SPEAKERS, clear_leftovers, write_private, write_prototypes, write_table
from pipeline.media import FeatureSequence
from pipeline.storage.layout import TIMES_KINDS, holds_identities
from pipeline.storage.lock import locked
from pipeline.storage.packing import rows_digest
from pipeline.storage.shards import finished_shards, shard_folder
from pipeline.storage.writing import Block, FeatureRows, write_file
from pipeline.store import FeatureStore


@dataclass(frozen=True)
class Forgotten:
    """What was taken out.

    Args:
        clusters: that had the name.
        rows: embeddings that are zeros now, by store.
        page: what became of the page of clusters: ``"kept"`` without the person, ``"removed"`` because it mentions them
            elsewhere, or ``"absent"``.
    """

    clusters: tuple[int, ...]
    rows: Mapping[Path, int]
    page: str


@dataclass(frozen=True)
class _Person:
    """How to recognise who is forgotten.

    Args:
        prototypes: of the gallery, those of the person alone.
        others: prototypes of those who have other names, (O, D).
        tracks: clip id and track of those that the gallery was made from.
        place: the gallery's, for messages.
    """

    prototypes: Prototypes
    others: np.ndarray
    tracks: frozenset[tuple[str, str]]
    place: str

    def is_in(self, embeddings: np.ndarray, clip_ids: Sequence[str], numbers: Sequence[int]) -> np.ndarray:
        """Which rows are the person's, bool (K,): listed ones, and all that are alike and no more like someone else."""
        listed = [(clip_id, str(number)) in self.tracks for clip_id, number in zip(clip_ids, numbers, strict=True)]
        found = np.asarray(listed, bool)
        alike = (embeddings @ self.prototypes.vectors.T).max(1, initial=-1)
        found |= (alike >= self.prototypes.least_likeness) & (alike >= (embeddings @ self.others.T).max(1, initial=-1))
        found &= np.any(embeddings, axis=1)
        return found


def forget(name: str, folder: Path, stores: Sequence[Path] = (), *,
           progress: Callable[[int, int], None] = lambda done, total: None) -> Forgotten:
    """Take a person out of a gallery and of stores.

    Embeddings of the person's tracks become rows of zeros, which say that nothing is known: another extraction leaves
    them so. The person's tracks are those of their clusters, and all that are as like them as the gallery asks for and
    no more like someone of another name.

    Args:
        name: as it stands in ``names.csv``; upper and lower case are one.
        folder: the gallery.
        stores: with ``face_identity`` as the gallery was made from; finished shards beside them are treated as well.
        progress: told how many files are done, of how many.

    Raises:
        UsageError: nobody has the name, it is no gallery, or a store's identities were made in another way.
        StoreError: a store cannot be read, is damaged or is being written, or a file cannot be written.
    """
    names = read_names(folder)
    wanted = name_key(name)
    mine = [cluster for cluster, found in names.items() if found and name_key(found) == wanted]
    if not mine:
        raise unknown_name("person in the gallery", name, {found for found in names.values() if found})
    try:
        known = read_prototypes(folder)
        others = [cluster for cluster, found in names.items() if found and cluster not in mine]
        person = _Person(_only(known, mine, keep=True), _only(known, others, keep=True).vectors,
                         _tracks_of(folder, mine), str(folder))
        for store in stores:  # refused before anything is changed
            for path in _files(store):
                _identities(read_contents(path), person)
        rows = {}
        for done, store in enumerate(stores):
            with locked(store):
                rows[store] = sum(_purge(path, person) for path in _files(store))
                _clear_store(store)
            progress(done + 1, len(stores))
        clear_leftovers(folder)
        page = _purge_page(folder / PAGE, mine, name)
        _filter(folder / SPEAKERS, lambda row: name_key(row.get("speaker", "")) != wanted)
        _filter(folder / CLUSTERS, lambda row: row.get("cluster") not in set(map(str, mine)))
        write_prototypes(folder, _only(known, mine, keep=False))
        _filter(folder / NAMES, lambda row: row.get("cluster", "").strip() not in set(map(str, mine)), blank=wanted)
    except OSError as error:
        raise StoreError(f"cannot write {error.filename or folder}: {error.strerror or error}; what was done stays"
                         " done: mend that, then run the same command again") from error
    return Forgotten(tuple(mine), rows, page)


def _only(known: Prototypes, mine: Sequence[int], *, keep: bool) -> Prototypes:
    chosen = np.isin(known.clusters, mine) == keep
    return replace(known, vectors=known.vectors[chosen], clusters=known.clusters[chosen])


def _read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a table of the gallery; neither where it is not there.

    Raises:
        UsageError: it cannot be read.
    """
    if not path.exists():
        return [], []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = csv.DictReader(file)
            rows = [{column: row[column] or "" for column in found.fieldnames or ()} for row in found]
            return list(found.fieldnames or ()), rows
    except (UnicodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({error}), so that it is not known whom it names; mend it or remove"
                         " it, then run the same command again") from error


def _tracks_of(folder: Path, clusters: Sequence[int]) -> frozenset[tuple[str, str]]:
    mine = set(map(str, clusters))
    return frozenset((row.get("clip", ""), row.get("track", "")) for row in _read_table(folder / CLUSTERS)[1]
                     if row.get("cluster") in mine)


def _filter(path: Path, is_kept: Callable[[Mapping[str, str]], bool], blank: str | None = None) -> None:
    """Write a table anew with some of its rows; a suggestion of the name ``blank`` goes, too."""
    columns, rows = _read_table(path)
    if not columns:
        return
    for row in rows:
        if blank is not None and name_key(row.get("suggestion", "").lstrip("'")) == blank:
            row |= {"suggestion": "", "share": ""}
    write_table(path, columns, [[row.get(column, "") for column in columns] for row in rows if is_kept(row)])


def _purge_page(path: Path, clusters: Sequence[int], name: str) -> str:
    """Take clusters off the page; it goes wholly where the name stands elsewhere on it."""
    if not path.exists():
        return "absent"
    text = path.read_text(encoding="utf-8", errors="replace")
    for cluster in clusters:
        text = re.sub(f"<!-- cluster {cluster} -->.*?<!-- /cluster {cluster} -->\n?", "", text, flags=re.DOTALL)
    body = re.sub("<style>.*?</style>|src=\"data:[^\"]*\"", "", text, flags=re.DOTALL).casefold()
    if html.escape(name).casefold() in body or name.casefold() in html.unescape(body):
        path.unlink()
        return "removed"
    write_private(path, text)
    return "kept"


def _files(store: Path) -> list[Path]:
    """A store's file and its finished shards.

    Raises:
        StoreError: there is neither.
    """
    found = [path for path in (store, *finished_shards(shard_folder(store))) if path.exists()]
    if not found:
        raise StoreError(f"there is no store {store}; expected a file that python -m pipeline extract made")
    return found


def _clear_store(store: Path) -> None:
    """Remove what killed runs left half-written; the store is locked, so that nobody writes there now."""
    for left in [*store.parent.glob(f".{store.name}.*.tmp"), *shard_folder(store).glob(".*.tmp"),
                 *shard_folder(store).glob("*.working")]:
        left.unlink(missing_ok=True)


def _identities(contents: StoreContents, person: _Person) -> list[str]:
    """Features of a file that hold identities, all of them made as the gallery's."""
    names = [name for name, part in sorted(contents.features.items()) if holds_identities(part.head)]
    for name in names:
        head, place = contents.features[name].head, f"{contents.path}, {name}"
        check_same_feature(person.prototypes.fingerprint, str(head["fingerprint"]), person.place, place)
        check_same_width(person.prototypes.vectors.shape[1], int(np.prod(head["row_shape"])), person.place, place)
    return names


def _purge(path: Path, person: _Person) -> int:
    """Write a file anew without the person; how many rows were theirs."""
    contents = read_contents(path)
    tables = [contents.clips, *(part.table for part in contents.features.values())]
    if not all(table.intact(contents.num_clips).all() for table in tables):
        raise _damaged(path, "a row of its tables is not as it was written")
    whole = FeatureStore(path)
    for name in contents.features:
        whole.offsets(name)  # refused where they make no sense
    ids = [contents.clips.encoded("clip_id", place).decode("utf-8", "surrogatepass")
           for place in range(contents.num_clips)]
    hits = {name: _hits(path, contents.features[name], ids, person) for name in _identities(contents, person)}
    num_rows = int(sum(found.sum() for found in hits.values()))
    if num_rows:
        choice = Choice(np.zeros(len(ids), np.int64), np.arange(len(ids)))
        write_file(path, corpus=contents.corpus, requests=contents.requests, attributes=contents.extra_attributes,
                   clips={name: gather_column([column], choice) for name, column in contents.clips.columns.items()},
                   features=((name, _without(path, part, gather_feature(name, ids, [(path, part)], choice),
                                             hits.get(name))) for name, part in sorted(contents.features.items())))
    return num_rows


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError(f"{path} is damaged ({what}); see what with: python -m pipeline verify {path}, mend it with"
                      " --repair, then run the same command again")


def _hits(path: Path, part: FeaturePart, ids: Sequence[str], person: _Person) -> np.ndarray:
    """Which rows of a feature are the person's, bool (R,)."""
    offsets = part.table.array("offsets")
    clips = np.repeat(np.arange(len(ids)), part.counts)
    numbers = np.arange(len(clips)) - offsets[clips]
    found, start = [np.zeros(0, bool)], 0
    with path.open("rb", buffering=0) as file:
        for values, _ in read_rows(file, part, 0, len(clips)):
            stop = start + len(values)
            found.append(person.is_in(values, [ids[clip] for clip in clips[start:stop].tolist()],
                                      numbers[start:stop].tolist()))
            start = stop
    return np.concatenate(found)


def _without(path: Path, part: FeaturePart, rows: FeatureRows, hits: np.ndarray | None) -> FeatureRows:
    """The rows of a feature with zeros in some of them, and digests to match."""
    if hits is None or not hits.any():
        return rows
    offsets, digests = part.table.array("offsets"), rows.digest.copy()
    touched = np.unique(np.searchsorted(offsets, np.flatnonzero(hits), side="right") - 1)
    with path.open("rb", buffering=0) as file:
        for place in touched.tolist():
            start, stop = offsets[place:place + 2].tolist()
            values, times = (np.concatenate(blocks) for blocks in zip(*read_rows(file, part, start, stop), strict=True))
            values[hits[start:stop]] = 0
            kind = TIMES_KINDS[rows.times_kind[place]]
            try:
                digests[place] = rows_digest(FeatureSequence(values, times, kind)).encode()
            except ValueError as error:
                raise _damaged(path, str(error)) from error
    return replace(rows, digest=digests, blocks=_zeroed(rows.blocks, hits))


def _zeroed(blocks: Iterator[Block], hits: np.ndarray) -> Iterator[Block]:
    start = 0
    for values, times in blocks:
        values[hits[start:start + len(values)]] = 0
        start += len(values)
        yield values, times
