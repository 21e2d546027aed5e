"""From tracks to a gallery, from a gallery to speakers, and files that nobody but their owner may read."""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.curation.merging import merge
from pipeline.curation.repair import repair
from pipeline.curation.subsets import Selection, subset
from pipeline.errors import StoreError, UsageError
from pipeline.faces.gallery import NAMES, PROTOTYPES, Gallery
from pipeline.identities import (CLUSTERS, FINDINGS, PAGE, SPEAKERS, ClusterConfig, clear_leftovers, coverage,
                                 make_gallery, match_speakers, read_tracks)
from pipeline.storage.durable import replacing
from pipeline.storage.layout import holds_identities
from pipeline.storage.packing import FeatureData, stored_cells, stored_clips, write_store
from pipeline.storage.shards import pack_store, shard_folder
from pipeline.store import FeatureStore
from tests.identity_stores import RECIPE, looks, make_identities

CAST = [["ann", "bob"], ["ann"], ["bob", "ann", "cid"], ["bob"], [], ["ann", "dot"], ["bob", "ann"]]
WHO_SPEAKS = ["Ann", "Ann", "Bob", "Bob", "Ann", "Dot", "Ann"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def name_clusters(folder: Path, names: dict[str, str]) -> None:
    """Fill in the column as a person would."""
    rows = rows_of(folder / NAMES)
    for row in rows:
        row["name"] = names.get(row["cluster"], "")
    with (folder / NAMES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_identities(tmp_path / "s.h5", CAST, speakers=WHO_SPEAKS)


@pytest.fixture
def gallery(store: Path) -> Path:
    make_gallery(store, store.parent / "people")
    return store.parent / "people"


def test_a_gallery_groups_tracks_by_person_and_suggests_speakers(store: Path, gallery: Path) -> None:
    number = {row["suggestion"]: row["cluster"] for row in rows_of(gallery / NAMES)}
    assert [(row["num_tracks"], row["num_clips"], row["name"]) for row in rows_of(gallery / NAMES)] \
        == [("5", "5", ""), ("4", "4", "")] and set(number) == {"Ann", "Bob"}
    expected = [(f"train/{clip}", str(track), number.get(person.title(), ""))
                for clip, seen in enumerate(CAST) for track, person in enumerate(seen)]
    assert [(row["clip"], row["track"], row["cluster"]) for row in rows_of(gallery / CLUSTERS)] == expected


def test_passers_by_get_a_number_only_when_asked(store: Path) -> None:
    found = make_gallery(store, store.parent / "all", ClusterConfig(least_tracks=1))
    assert [len(cluster.tracks) for cluster in found] == [5, 4, 1, 1]
    assert len(make_gallery(store, store.parent / "few", ClusterConfig(least_tracks=5))) == 1


def test_an_impossible_threshold_is_a_users_mistake(store: Path) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1, least_tracks at least 1; found 0 and 2"):
        ClusterConfig(least_likeness=0)
    assert main(["faces", "cluster", str(store), "--out", str(store.parent / "g"), "--least-tracks", "0"]) == 2


def test_a_gallery_is_its_owners_alone_to_read(gallery: Path) -> None:
    assert mode(gallery) == 0o700
    assert {path.name: mode(path) for path in gallery.iterdir()} \
        == dict.fromkeys((NAMES, CLUSTERS, PROTOTYPES, PAGE), 0o600)


def test_names_that_were_given_are_never_written_over(store: Path, gallery: Path) -> None:
    with pytest.raises(UsageError, match="people is there already, and with it perhaps the names"):
        make_gallery(store, gallery)


def test_a_place_that_cannot_be_written_is_named(store: Path) -> None:
    (store.parent / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write .*file/people: File exists; nothing is left there"):
        make_gallery(store, store.parent / "file" / "people")


def test_a_store_without_identities_says_how_to_make_them(tmp_path: Path) -> None:
    path = subset(make_identities(tmp_path / "s.h5", CAST), tmp_path / "t.h5", Selection(features=("faces",))).path
    with pytest.raises(StoreError, match="holds no identities .faces.; they are only made when .*face_identity --out"):
        make_gallery(path, tmp_path / "people")


def test_of_several_variants_one_must_be_named(store: Path) -> None:
    whole = FeatureStore(store)
    rows = {clip_id: cell.load() for clip_id, cell in stored_cells(whole, "face_identity").items() if cell.load}
    both = {name: FeatureData("face", (512,), {**RECIPE, "fingerprint": name}, rows, is_input=False)
            for name in ("face_identity", "face_identity@b")}
    two = FeatureStore(write_store(store.parent / "two.h5", corpus=whole.corpus, clips=stored_clips(whole),
                                   features=both))
    with pytest.raises(UsageError, match="holds face_identity, face_identity@b; say which with --feature"):
        read_tracks(two)
    assert read_tracks(two, "face_identity@b").fingerprint == "face_identity@b"
    with pytest.raises(StoreError, match="holds no identities named 'faces'"):
        read_tracks(two, "faces")


def test_each_speaker_is_found_among_the_faces(store: Path, gallery: Path) -> None:
    number = {row["suggestion"]: row["cluster"] for row in rows_of(gallery / NAMES)}
    name_clusters(gallery, {number["Ann"]: "ann", number["Bob"]: " BOB"})
    matches = match_speakers(store, gallery)
    assert [(match.track, match.finding) for match in matches] == [
        (0, FINDINGS[0]), (0, FINDINGS[0]), (0, FINDINGS[0]), (0, FINDINGS[0]), (-1, FINDINGS[2]), (-1, FINDINGS[1]),
        (1, FINDINGS[0])]
    assert coverage(matches) == [("train", 7, 5, "71.4 %", 1, 1, 0, 0)]
    assert [row["track"] for row in rows_of(gallery / SPEAKERS)] == ["0", "0", "0", "0", "", "", "1"]
    assert mode(gallery / SPEAKERS) == 0o600


def test_a_speaker_who_is_not_in_view_is_not_taken_for_another(store: Path, gallery: Path) -> None:
    number = {row["suggestion"]: row["cluster"] for row in rows_of(gallery / NAMES)}
    name_clusters(gallery, {number["Ann"]: "Bob", number["Bob"]: "Ann"})
    found = {match.clip: match.finding for match in match_speakers(store, gallery)}
    assert found["train/1"] == FINDINGS[3] == found["train/3"]


def test_clips_that_were_never_extracted_are_told_apart(store: Path, gallery: Path) -> None:
    name_clusters(gallery, {"0": "Ann", "1": "Bob"})
    faces = subset(make_identities(store.parent / "more.h5", [["ann"]], speakers=["Ann"], first=90),
                   store.parent / "faces.h5", Selection(features=("faces",))).path
    both = merge([store, faces], store.parent / "both.h5").path
    assert match_speakers(both, gallery)[-1].finding == FINDINGS[4]


def test_a_gallery_of_another_feature_is_refused(store: Path, gallery: Path) -> None:
    name_clusters(gallery, {"0": "Ann"})
    other = make_identities(store.parent / "o.h5", CAST, speakers=WHO_SPEAKS, recipe={**RECIPE, "fingerprint": "other"})
    with pytest.raises(UsageError, match="fingerprint made-one, that of .*o.h5, face_identity is other"):
        match_speakers(other, gallery)


def test_a_speaker_who_is_a_formula_stays_a_text_in_a_spreadsheet(tmp_path: Path) -> None:
    path = make_identities(tmp_path / "s.h5", [["ann"], ["ann"]], speakers=["=cmd|' /C calc'!A1"] * 2)
    make_gallery(path, tmp_path / "people")
    assert rows_of(tmp_path / "people" / NAMES)[0]["suggestion"].startswith("'=")


def test_shards_that_are_not_packed_count(tmp_path: Path) -> None:
    shard_folder(tmp_path / "s.h5").mkdir()
    make_identities(shard_folder(tmp_path / "s.h5") / "0.h5", CAST[:3])
    make_identities(shard_folder(tmp_path / "s.h5") / "1.h5", CAST[3:], first=3)
    assert [len(found.tracks) for found in make_gallery(tmp_path / "s.h5", tmp_path / "people")] == [5, 4]


def pack_it(store: Path) -> Path:
    shard_folder(store).mkdir()
    make_identities(shard_folder(store) / "1.h5", [["ann"]], first=50)
    assert mode(shard_folder(store) / "1.h5") == 0o600
    return pack_store(store)


def damaged(store: Path) -> Path:
    """A store with a damaged cell, repaired."""
    extents = FeatureStore(store).place_in_file("face_identity", "values")
    with store.open("r+b") as file:
        file.seek(extents)
        file.write(b"\1\2\3\4")
    assert repair(store).dropped
    return store


@pytest.mark.parametrize("change", [
    lambda store: store, pack_it, damaged,
    lambda store: subset(store, store.parent / "t.h5", Selection(clips=("train/1",))).path,
    lambda store: merge([store, make_identities(store.parent / "u.h5", CAST, first=9)], store.parent / "m.h5").path,
], ids=["written", "packed", "repaired", "cut", "merged"])
def test_a_store_with_identities_is_its_owners_alone_to_read(store: Path, change: Callable[[Path], Path]) -> None:
    before = os.umask(0)
    try:
        assert mode(change(store)) == 0o600
    finally:
        os.umask(before)


def test_a_store_without_identities_is_left_to_the_umask(store: Path) -> None:
    before = os.umask(0o022)
    try:
        assert mode(subset(store, store.parent / "t.h5", Selection(features=("faces",))).path) == 0o644
    finally:
        os.umask(before)


def test_what_is_half_written_is_private_too(store: Path) -> None:
    seen: list[int] = []

    def look(_done: int, _total: int) -> None:
        seen.extend(mode(path) for path in store.parent.glob(".t.h5.*.tmp"))
    before = os.umask(0)
    try:
        subset(store, store.parent / "t.h5", Selection(clips=("train/1",)), progress=look)
        left = store.parent / f".list.csv.{os.getpid()}.tmp"
        left.write_text("of a run that was killed")
        with replacing(store.parent / "list.csv", private=True):
            assert mode(left) == 0o600
    finally:
        os.umask(before)
    assert seen and set(seen) == {0o600}


def test_features_are_known_for_identities_by_their_extractor(store: Path) -> None:
    whole = FeatureStore(store)
    assert [name for name in whole.features if holds_identities(whole.head(name))] == ["face_identity"]
    assert not holds_identities({"recipe": {}}) and not holds_identities({"recipe": {"extractor": ["face_identity"]}})


def test_what_killed_runs_left_of_a_gallery_is_cleared_away(gallery: Path) -> None:
    (gallery / ".names.csv.1.tmp").write_text("Ann")
    half = gallery.parent / ".people.1.tmp"
    half.mkdir()
    (half / NAMES).write_text("Ann")
    clear_leftovers(gallery)
    assert not half.exists() and sorted(path.name for path in gallery.iterdir()) == [CLUSTERS, PAGE, NAMES, PROTOTYPES]


def test_the_commands_do_the_same(store: Path, gallery: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", "cluster", str(store), "--out", str(store.parent / "again")]) == 0
    assert capsys.readouterr().out.strip() == str(store.parent / "again")
    for name in (NAMES, CLUSTERS, PROTOTYPES):
        assert (store.parent / "again" / name).read_bytes() == (gallery / name).read_bytes()
    assert main(["faces", "match", str(store), "--gallery", str(gallery)]) == 2
    assert "nobody in" in capsys.readouterr().err
    name_clusters(gallery, {"0": "Ann"})
    assert main(["faces", "match", str(store), "--gallery", str(gallery)]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(gallery / SPEAKERS) and "train" in shown.err and "42.9 %" not in shown.out


def test_prototypes_are_what_people_look_like(gallery: Path) -> None:
    number = {row["suggestion"]: row["cluster"] for row in rows_of(gallery / NAMES)}
    name_clusters(gallery, {number["Ann"]: "Ann"})
    known = Gallery.open(gallery)
    likeness = known.likeness("Ann", np.stack([looks("ann", seed=1), looks("bob", seed=1)]))
    assert likeness[0] > 0.85 and abs(likeness[1]) < 0.3
