"""The page that shows who is in each cluster of face tracks, so that a person can name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from pipeline.media import FeatureSequence
from pipeline.pages.thumbnails import Thumbnail, face_feature, picture_clip, problems
from pipeline.report import templates
from pipeline.storage.packing import stored_clips
from pipeline.store import FeatureStore

if TYPE_CHECKING:
    from pipeline.identities import Cluster, Tracks

MOST_CLUSTERS = 60              # that are shown, the largest; names.csv has them all
TYPICAL, UNUSUAL = 4, 2         # pictures of a cluster: near its mean, and farthest from it, where mistakes show


@dataclass(frozen=True)
class Card:
    """One cluster as it is shown: its pictures, and those that are unusual for it."""

    cluster: Cluster
    typical: tuple[Thumbnail, ...]
    unusual: tuple[Thumbnail, ...]


def draw_sheet(store: FeatureStore, tracks: Tracks, clusters: Sequence[Cluster], *, thumbnails: bool = False,
               progress: Callable[[int, int], None] = lambda done, total: None) -> str:
    """The page of clusters; it loads nothing from anywhere and runs no script.

    Pictures are cut from the clips' files, where these are still there.

    Args:
        store: that the tracks are of.
        tracks: all of them.
        clusters: the largest first.
        thumbnails: show faces although the corpus forbids passing them on.
        progress: told how many pictures are cut, of how many.

    Returns:
        HTML.

    Raises:
        StoreError: the store is damaged.
    """
    why_none = _why_none(store, tracks.feature, thumbnails=thumbnails)
    shown = clusters[:MOST_CLUSTERS]
    chosen = {found.number: _examples(found, tracks) if not why_none else [] for found in shown}
    clips = stored_clips(store) if not why_none else []
    total, pictures = sum(map(len, chosen.values())), dict[int, Thumbnail]()
    for found in shown:
        for track in chosen[found.number]:
            place = int(tracks.clips[track])
            feature = face_feature(store)
            assert feature is not None
            faces = store.cell(place, feature)
            mine = faces.values[:, 0] == tracks.numbers[track]
            own = FeatureSequence(faces.values[mine], faces.times[mine])
            pictures[track] = picture_clip(clips[place], own) if len(own.values) else Thumbnail(
                clips[place].clip_id, problem="its faces were extracted again since")
            progress(len(pictures), total)
    cards = [Card(found, _drawn(chosen[found.number][:TYPICAL], pictures),
                  _drawn(chosen[found.number][TYPICAL:], pictures)) for found in shown]
    ids = store.column("clip_id").tolist()
    return templates().get_template("clusters.html.jinja").render(
        cards=cards, why_none=why_none, corpus=store.corpus, num_clusters=len(clusters), feature=tracks.feature,
        num_tracks=len(tracks.clips), num_grouped=sum(len(found.tracks) for found in clusters),
        problems=problems(list(pictures.values())), restricted=store.corpus.redistribute == "no",
        first_clip={found.number: ids[tracks.clips[found.tracks[0]]] for found in shown},
        is_random=any(record.get("source") == "random" for record in store.recipe(tracks.feature).get("weights", [])),
        made=datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC"))


def _why_none(store: FeatureStore, feature: str, *, thumbnails: bool) -> str:
    """Why there can be no pictures; "" where there can."""
    if store.corpus.redistribute == "no" and not thumbnails:
        return "forbidden"
    faces = face_feature(store)
    made_from = store.recipe(feature).get("upstream", {})
    return "" if faces is not None and store.fingerprint(faces) in made_from.values() else "no_faces"


def _drawn(tracks: Sequence[int], pictures: Mapping[int, Thumbnail]) -> tuple[Thumbnail, ...]:
    return tuple(pictures[track] for track in tracks if pictures[track].data_uri)


def _examples(found: Cluster, tracks: Tracks) -> list[int]:
    """Tracks to show: the most typical, of different clips as far as there are, then the least typical."""
    first_of_clip = {int(tracks.clips[track]): track for track in found.tracks[::-1].tolist()}
    order = sorted(found.tracks.tolist(), key=lambda track: first_of_clip[int(tracks.clips[track])] != track)
    typical = order[:TYPICAL]
    rest = [track for track in found.tracks.tolist() if track not in typical]
    return typical + rest[-UNUSUAL:]
