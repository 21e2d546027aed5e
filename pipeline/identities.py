"""People across the clips of a store: face tracks grouped into a gallery to name, and speakers found among the faces.

A gallery is a folder that nobody but its owner may read: ``names.csv`` to fill in, ``clusters.csv`` (which track is in
which cluster), ``prototypes.safetensors``, ``clusters.html`` with pictures, and, once speakers were matched,
``speakers.csv``. :mod:`pipeline.faces.gallery` reads it, :mod:`pipeline.forgetting` takes a person out of it.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import setting
from pipeline.errors import StoreError, UsageError
from pipeline.faces.clusters import NOBODY, cluster, overlapping, prototypes
from pipeline.faces.gallery import LEAST_LIKENESS, NAMES, PROTOTYPES, Gallery, Prototypes
from pipeline.storage.durable import PRIVATE_FOLDER, new_folder, replacing
from pipeline.storage.layout import holds_identities
from pipeline.storage.shards import open_store
from pipeline.store import FeatureStore

CLUSTERS, SPEAKERS, PAGE = "clusters.csv", "speakers.csv", "clusters.html"
NAME_COLUMNS = ("cluster", "name", "num_tracks", "num_clips", "suggestion", "share")
CLUSTER_COLUMNS = ("clip", "track", "cluster")
SPEAKER_COLUMNS = ("clip", "split", "speaker", "track", "likeness", "finding")
FINDINGS = ("found", "speaker not in the gallery", "no face in view", "no face alike enough", "not extracted")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is run by spreadsheets


@dataclass(frozen=True)
class ClusterConfig:
    """When tracks are one person, and who is worth a name.

    Raises:
        ValueError: a value outside its range.
    """

    least_likeness: float = setting(LEAST_LIKENESS, "mean cosine between two groups' tracks from which on they are one"
                                    " person's; the verification threshold of 512-d FaceNet. A person in two clusters"
                                    " is mended by one name, two people in one cluster are not: rather raise it")
    least_tracks: int = setting(2, "smaller clusters are passers-by: they get no number and no prototype")

    def __post_init__(self) -> None:
        if not 0 < self.least_likeness <= 1 or self.least_tracks < 1:
            raise ValueError(f"least_likeness is above 0 and at most 1, least_tracks at least 1; found"
                             f" {self.least_likeness} and {self.least_tracks}")


@dataclass(frozen=True)
class Tracks:
    """All face tracks of a store.

    Args:
        feature: that holds them.
        fingerprint: of the feature.
        clips: place of each track's clip in the store, int64 (N,).
        numbers: of each track in its clip, int64 (N,).
        times: first and last second of each, (N, 2).
        embeddings: of length 1, or zeros where nothing is known, float32 (N, D).
    """

    feature: str
    fingerprint: str
    clips: np.ndarray
    numbers: np.ndarray
    times: np.ndarray
    embeddings: np.ndarray


@dataclass(frozen=True)
class Cluster:
    """Tracks that are taken for one person.

    Args:
        number: by size, from 0.
        tracks: places in :class:`Tracks`, the most typical first, int64.
        num_clips: clips that they are in.
        suggestion: the speaker whose clips these are, as far as that shows; "" where it does not.
        share: of the cluster's clips, the part in which that speaker speaks.
    """

    number: int
    tracks: np.ndarray
    num_clips: int
    suggestion: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class Match:
    """What was found of a clip's speaker.

    Args:
        clip, split, speaker: as the store has them.
        track: which face is the speaker; −1 where none is.
        likeness: of that face, or of the one most alike; −1 where there is none to compare.
        finding: one of :data:`FINDINGS`.
    """

    clip: str
    split: str
    speaker: str
    track: int
    likeness: float
    finding: str


def read_tracks(store: FeatureStore, feature: str | None = None) -> Tracks:
    """All tracks of a store, with who they show.

    Args:
        store: with ``face_identity``.
        feature: which variant, where the store has several.

    Raises:
        StoreError: the store holds no identities, or is damaged.
        UsageError: it holds several variants and none is named.
    """
    names = [name for name in store.features if holds_identities(store.head(name))]
    if not names or feature is not None and feature not in names:
        raise StoreError(f"{store.path} holds no identities{f' named {feature!r}' if names else ''}"
                         f" ({', '.join(names or store.features) or 'no feature'}); they are only made when they are"
                         f" asked for: python -m pipeline extract --dataset {store.corpus.name} --extractors"
                         f" face_identity --out {store.path}")
    if feature is None and len(names) > 1:
        raise UsageError(f"{store.path} holds {', '.join(names)}; say which with --feature")
    name = feature or names[0]
    offsets, embeddings = store.offsets(name), store.array(name)
    clips = np.repeat(np.arange(store.num_clips), np.diff(offsets))
    if embeddings.ndim != 2 or embeddings.dtype != np.float32 or not np.isfinite(embeddings).all():
        raise StoreError(f"{store.path} is damaged: rows of {name} are no embeddings; see what: python -m pipeline"
                         f" verify {store.path}")
    return Tracks(name, store.fingerprint(name), clips, np.arange(len(clips)) - offsets[clips], store.times(name),
                  embeddings)


def find_clusters(tracks: Tracks, speakers: Sequence[str], config: ClusterConfig = ClusterConfig()) -> list[Cluster]:
    """Group tracks by person, and see whose clips each group is in.

    Args:
        tracks: of a store.
        speakers: of each of the store's clips, "" where that is not known.
        config: when tracks are one person's.

    Returns:
        Clusters of ``least_tracks`` and more, the largest first.
    """
    labels = cluster(tracks.embeddings, overlapping(tracks.clips, tracks.times),
                     least_likeness=config.least_likeness)
    counts = np.bincount(labels[labels >= 0])
    labels[labels >= (counts >= config.least_tracks).sum()] = NOBODY  # numbered by size
    means = prototypes(tracks.embeddings, labels)
    spoken: Counter[str] = Counter(speakers)
    found = []
    for number, mean in enumerate(means):
        mine = np.flatnonzero(labels == number)
        typical = mine[np.argsort(-(tracks.embeddings[mine] @ mean), kind="stable")]
        clips = sorted(set(tracks.clips[mine].tolist()))
        found.append(Cluster(number, typical, len(clips), *_suggest([speakers[clip] for clip in clips], spoken)))
    return found


def _suggest(speakers: Sequence[str], spoken: Counter[str]) -> tuple[str, float]:
    """The speaker who goes best with a cluster's clips, by the cosine of the two sets of clips (Ochiai 1957)."""
    here = Counter(name for name in speakers if name)
    if not here:
        return "", 0.0
    best = max(here, key=lambda name: (here[name] ** 2 / spoken[name], name))
    return best, here[best] / len(speakers)


def make_gallery(path: Path, out: Path, config: ClusterConfig = ClusterConfig(), *, feature: str | None = None,
                 thumbnails: bool = False, progress: Callable[[int, int], None] = lambda done, total: None,
                 ) -> list[Cluster]:
    """Group the tracks of a store and write a gallery to name.

    Args:
        path: the store.
        out: the gallery's folder, which is not there yet; it appears whole or not at all.
        config: when tracks are one person's.
        feature: which identities, where the store has several.
        thumbnails: show faces on the page although the corpus forbids passing them on.
        progress: told how many pictures are cut, of how many.

    Returns:
        The clusters.

    Raises:
        UsageError: ``out`` is there already, or it is not clear which feature is meant.
        StoreError: the store cannot be read or holds no identities, or ``out`` cannot be written.
    """
    from pipeline.pages.cluster_sheet import draw_sheet
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already, and with it perhaps the names that were given; choose another --out")
    store = open_store(path)
    tracks = read_tracks(store, feature)
    clusters = find_clusters(tracks, store.column("speaker").tolist(), config)
    vectors = prototypes(tracks.embeddings, _labels(tracks, clusters))
    found = Prototypes(vectors, np.arange(len(vectors)), tracks.fingerprint, config.least_likeness)
    page = draw_sheet(store, tracks, clusters, thumbnails=thumbnails, progress=progress)
    clips = store.column("clip_id").tolist()
    rows = ((clips[clip], number, label if label >= 0 else "") for clip, number, label in zip(
        tracks.clips.tolist(), tracks.numbers.tolist(), _labels(tracks, clusters).tolist(), strict=True))
    try:
        with new_folder(Path(os.path.abspath(out))) as folder:
            folder.chmod(PRIVATE_FOLDER)
            write_prototypes(folder, found)
            write_table(folder / CLUSTERS, CLUSTER_COLUMNS, rows)
            write_private(folder / PAGE, page)
            write_table(folder / NAMES, NAME_COLUMNS, map(_name_row, clusters))
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}; nothing is left there. Check free space and"
                         " permissions, then run the same command again") from error
    return clusters


def _labels(tracks: Tracks, clusters: Sequence[Cluster]) -> np.ndarray:
    labels = np.full(len(tracks.clips), NOBODY, np.int64)
    for found in clusters:
        labels[found.tracks] = found.number
    return labels


def _name_row(found: Cluster) -> tuple[object, ...]:
    suggestion = f"'{found.suggestion}" if found.suggestion.startswith(FORMULA) else found.suggestion
    return (found.number, "", len(found.tracks), found.num_clips, suggestion,
            f"{found.share:.2f}" if suggestion else "")


def match_speakers(path: Path, folder: Path, *, feature: str | None = None) -> list[Match]:
    """Which face of each clip is its speaker's; written to the gallery's ``speakers.csv`` as well.

    Of a clip's tracks the one that is most like the speaker is taken, if it is as like as the gallery asks for.

    Args:
        path: the store.
        folder: the gallery.
        feature: which identities, where the store has several.

    Returns:
        One for each clip whose speaker is known, in the store's order.

    Raises:
        UsageError: it is no gallery, nobody in it has a name, or it was made from another feature.
        StoreError: the store cannot be read or holds no identities, or the table cannot be written.
    """
    gallery, store = Gallery.open(folder), open_store(path)
    tracks = read_tracks(store, feature)
    gallery.check(tracks.fingerprint, f"{path}, {tracks.feature}", width=tracks.embeddings.shape[1])
    offsets, status = store.offsets(tracks.feature), store.status(tracks.feature)
    ids, splits, speakers = (store.column(name).tolist() for name in ("clip_id", "split", "speaker"))
    matches = []
    for place, speaker in enumerate(speakers):
        if not speaker:
            continue
        likeness = gallery.likeness(speaker, tracks.embeddings[offsets[place]:offsets[place + 1]])
        best = int(likeness.argmax()) if len(likeness) else NOBODY
        alike = float(likeness[best]) if len(likeness) else -1.0
        is_found = alike >= gallery.least_likeness
        finding = (FINDINGS[4] if status[place] in ("missing", "failed") else FINDINGS[1] if not gallery.knows(speaker)
                   else FINDINGS[2] if not len(likeness) else FINDINGS[0] if is_found else FINDINGS[3])
        matches.append(Match(ids[place], splits[place], speaker, best if is_found else NOBODY, alike, finding))
    try:
        write_table(folder / SPEAKERS, SPEAKER_COLUMNS, (
            (match.clip, match.split, match.speaker, match.track if match.track >= 0 else "",
             f"{match.likeness:.4f}", match.finding) for match in matches))
    except OSError as error:
        raise StoreError(f"cannot write {folder / SPEAKERS}: {error.strerror or error}; check free space and"
                         " permissions") from error
    return matches


def coverage(matches: Iterable[Match]) -> list[tuple[str, int, int, str, int, int, int, int]]:
    """For each split: clips with a speaker, those whose speaker was found, in percent, and the others by reason."""
    counts: dict[str, Counter[str]] = {}
    for match in matches:
        counts.setdefault(match.split, Counter())[match.finding] += 1
    return [(split, found.total(), found[FINDINGS[0]], f"{100 * found[FINDINGS[0]] / found.total():.1f} %",
             found[FINDINGS[1]], found[FINDINGS[2]], found[FINDINGS[3]], found[FINDINGS[4]])
            for split, found in counts.items()]


def write_prototypes(folder: Path, found: Prototypes) -> None:
    """Write a gallery's prototypes.

    Raises:
        OSError: the folder cannot be written.
    """
    from safetensors.numpy import save
    with replacing(folder / PROTOTYPES, private=True) as output:
        output.write(save({"prototypes": np.ascontiguousarray(found.vectors), "clusters": found.clusters},
                          found.metadata))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file that nobody but its owner may read.

    Raises:
        OSError: the folder cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_private(path, text.getvalue())


def write_private(path: Path, text: str) -> None:
    """Write a text file that nobody but its owner may read.

    Raises:
        OSError: the folder cannot be written.
    """
    with replacing(path, private=True) as output:
        output.write(text.encode("utf-8", "replace"))


def clear_leftovers(folder: Path) -> None:
    """Remove what killed runs left half-written of a gallery, in it and beside it."""
    for left in folder.glob(".*.tmp"):
        left.unlink(missing_ok=True)
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
