"""`faces`: people across clips: clusters to name, speakers among the faces, and people who want to be forgotten."""

from __future__ import annotations

from pathlib import Path

import click

GALLERY = click.option("--gallery", required=True, type=click.Path(path_type=Path),
                       help="Folder that `faces cluster` made.")
FEATURE = click.option("--feature", help="Which identities, where the store has several variants.")


@click.group("faces")
def command() -> None:
    """Group faces by person, find speakers among them, forget people.

    Needs a store with face_identity, which is made only when it is asked for. Whatever holds identities is readable by
    its owner alone.

    \b
    python -m pipeline faces cluster cache/meld.h5 --out cache/people
    """


@command.command("cluster")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The gallery's folder, a new one.")
@click.option("--least-likeness", type=float, help="Mean cosine from which on two groups of tracks are one person's;"
                                                   " 0.7 by default.")
@click.option("--least-tracks", type=int, help="Smaller clusters get no number; 2 by default.")
@click.option("--thumbnails", is_flag=True, help="Show faces although the corpus's licence forbids passing them on.")
@FEATURE
def cluster(store: Path, out: Path, least_likeness: float | None, least_tracks: int | None, thumbnails: bool,
            feature: str | None) -> int:
    """Group all face tracks of a store by person, with a page to name them from.

    Two tracks that are in view together are never one person. Then write names into names.csv.

    \b
    python -m pipeline faces cluster cache/meld.h5 --out cache/people
    """
    from pipeline.commands._options import with_options
    from pipeline.identities import PAGE, ClusterConfig, make_gallery
    from pipeline.faces.gallery import NAMES
    from pipeline.terminal import counting, show_table
    config = with_options(ClusterConfig(), {"least_likeness": least_likeness, "least_tracks": least_tracks})
    with counting("cutting faces") as progress:
        found = make_gallery(store, out, config, feature=feature, thumbnails=thumbnails, progress=progress)
    shown = [(cluster.number, len(cluster.tracks), cluster.num_clips, cluster.suggestion, f"{100 * cluster.share:.0f} %"
              if cluster.suggestion else "") for cluster in found[:20]]
    show_table(f"{len(found):,} clusters{', the largest' if len(found) > len(shown) else ''}; see {out / PAGE}, write"
               f" names into {out / NAMES}", ("cluster", "tracks", "clips", "perhaps", "speaks in"), shown)
    click.echo(out)
    return 0


@command.command("match")
@click.argument("store", type=click.Path(path_type=Path))
@GALLERY
@FEATURE
def match(store: Path, gallery: Path, feature: str | None) -> int:
    """Find the face of each clip's speaker, for clips whose speaker is known.

    Writes speakers.csv into the gallery: clip, split, speaker, track, likeness and what was found.

    \b
    python -m pipeline faces match cache/meld.h5 --gallery cache/people
    """
    from pipeline.identities import SPEAKERS, coverage, match_speakers
    from pipeline.terminal import show_table
    matches = match_speakers(store, gallery, feature=feature)
    show_table("Clips whose speaker is among the faces" if matches else "No clip of this store has a known speaker",
               ("split", "clips", "found", "share", "not in gallery", "no face", "none alike", "not extracted"),
               coverage(matches))
    click.echo(gallery / SPEAKERS)
    return 0


@command.command("forget")
@click.argument("name")
@GALLERY
@click.option("--store", "stores", multiple=True, type=click.Path(path_type=Path),
              help="A store whose embeddings of the person are purged as well. May be repeated.")
def forget(name: str, gallery: Path, stores: tuple[Path, ...]) -> int:
    """Purge a person: embeddings in stores, prototypes, name and pictures.

    Embeddings become zeros in new files that take the old ones' places; other copies, and other features of these
    clips, stay. Killed half-way, the same command finishes it.

    \b
    python -m pipeline faces forget Joey --gallery cache/people --store cache/meld.h5
    """
    from pipeline.forgetting import forget as purge
    from pipeline.terminal import counting, show_table
    with counting("forgetting") as progress:
        done = purge(name, gallery, stores, progress=progress)
    rows: list[tuple[str, str]] = [(str(path), f"{number:,} embeddings") for path, number in done.rows.items()]
    rows += [(str(gallery), f"{len(done.clusters)} {'cluster' if len(done.clusters) == 1 else 'clusters'}; page"
              f" {done.page}")]
    show_table("Purged" if stores else "Purged from the gallery alone; name stores with --store to purge them as well",
               ("where", "what"), rows)
    click.echo(gallery)
    return 0
