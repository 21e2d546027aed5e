"""A person is taken out, and nothing of them is left in the bytes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import forgetting
from pipeline.cli import main
from pipeline.curation.merging import merge
from pipeline.curation.verification import verify
from pipeline.errors import StoreError, UsageError
from pipeline.faces.gallery import NAMES, PROTOTYPES, Gallery, read_prototypes
from pipeline.forgetting import forget
from pipeline.identities import CLUSTERS, PAGE, SPEAKERS, make_gallery, match_speakers, write_prototypes
from pipeline.storage.lock import locked
from pipeline.storage.shards import shard_folder
from pipeline.store import FeatureStore
from tests.identity_stores import RECIPE, looks, make_identities
from tests.test_identities import CAST, WHO_SPEAKS, mode, name_clusters, rows_of

ANN = [(clip, track) for clip, seen in enumerate(CAST) for track, person in enumerate(seen) if person == "ann"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store, and a gallery in which Ann and Bob are named and speakers matched."""
    path = make_identities(tmp_path / "s.h5", CAST, speakers=WHO_SPEAKS)
    make_gallery(path, tmp_path / "people")
    number = {row["suggestion"]: row["cluster"] for row in rows_of(tmp_path / "people" / NAMES)}
    name_clusters(tmp_path / "people", {number["Ann"]: "Ann Lee", number["Bob"]: "Bob"})
    match_speakers(path, tmp_path / "people")
    return tmp_path


def everything(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def traces(folder: Path) -> list[str]:
    """What is left of Ann: embeddings, parts of them, prototypes, her name."""
    found = everything(folder)
    rows = {f"train/{clip} {track}": looks("ann", seed=100 * clip + track) for clip, track in ANN}
    left = [name for name, row in rows.items() if row[:8].tobytes() in found or row[-8:].tobytes() in found]
    return left + (["name"] if b"Ann Lee" in found else [])


def test_nothing_is_left_in_the_bytes(folder: Path) -> None:
    assert len(traces(folder)) == len(ANN) + 1
    prototype = Gallery.open(folder / "people")._people["ann lee"][0]
    assert prototype.tobytes() in everything(folder)
    done = forget("ann LEE", folder / "people", [folder / "s.h5"])
    assert done.rows == {folder / "s.h5": len(ANN)} and len(done.clusters) == 1
    assert traces(folder) == [] and prototype.tobytes() not in everything(folder)
    assert Gallery.open(folder / "people").names == ("Bob",)


def test_all_others_stay_as_they_were(folder: Path) -> None:
    before = FeatureStore(folder / "s.h5")
    rows, status = before.array("face_identity").copy(), before.status("face_identity").tolist()
    faces, clips = before.digest("faces"), before.clips
    forget("Ann Lee", folder / "people", [folder / "s.h5"])
    after = FeatureStore(folder / "s.h5")
    who = [person for seen in CAST for person in seen]
    for person, old, new in zip(who, rows, after.array("face_identity"), strict=True):
        np.testing.assert_array_equal(new, 0 * old if person == "ann" else old)
    assert after.status("face_identity").tolist() == status
    assert after.digest("faces") == faces and after.clips.equals(clips)
    assert verify(folder / "s.h5").findings == [] and mode(folder / "s.h5") == 0o600


def test_the_gallerys_tables_lose_the_person_alone(folder: Path) -> None:
    people = folder / "people"
    before = {name: rows_of(people / name) for name in (NAMES, CLUSTERS)}
    mine = next(row["cluster"] for row in before[NAMES] if row["name"] == "Ann Lee")
    forget("Ann Lee", people)
    for name, rows in before.items():
        assert rows_of(people / name) == [row for row in rows if row["cluster"] != mine]
    assert len(read_prototypes(people).vectors) == 1
    assert {mode(path) for path in people.iterdir()} == {0o600}


def test_a_speakers_rows_go_by_their_name(folder: Path) -> None:
    people = folder / "people"
    assert {row["speaker"] for row in rows_of(people / SPEAKERS)} == {"Ann", "Bob", "Dot"}
    forget("Bob", people)
    assert {row["speaker"] for row in rows_of(people / SPEAKERS)} == {"Ann", "Dot"}


def test_a_page_that_suggests_the_name_elsewhere_goes_wholly(folder: Path) -> None:
    people = folder / "people"
    assert forget("Ann Lee", people).page == "kept"
    number = rows_of(people / NAMES)[0]["cluster"]
    text = (people / PAGE).read_text()
    assert text.count("<article") == 1 and f'id="cluster-{number}"' in text
    (people / PAGE).write_text(text.replace("</body>", "<p>Perhaps B&#111;b&amp;Co</p></body>"))
    assert forget("Bob", people).page == "removed" and not (people / PAGE).exists()


def test_suggestions_of_the_name_go_from_other_rows(folder: Path) -> None:
    people = folder / "people"
    name_clusters(people, {"0": "Bob", "1": "Else"})  # the other cluster suggests one of them as well
    forget("Bob", people)
    assert [row["suggestion"] for row in rows_of(people / NAMES)] in ([""], ["Ann"])
    assert b"Bob" not in (people / NAMES).read_bytes()


def test_the_same_person_is_found_in_a_store_that_the_gallery_never_saw(folder: Path) -> None:
    other = make_identities(folder / "other.h5", [["ann"], ["cid", "bob"], ["cid", "ann"]], first=70)
    assert forget("Ann Lee", folder / "people", [other]).rows == {other: 2}
    kept = FeatureStore(other).array("face_identity").any(1)
    assert kept.tolist() == [False, True, True, True, False]


def test_who_is_more_like_someone_of_another_name_stays(folder: Path) -> None:
    people = folder / "people"
    names = {row["cluster"]: row["name"] for row in rows_of(people / NAMES)}
    vectors = read_prototypes(people)
    mine = next(int(cluster) for cluster, name in names.items() if name == "Ann Lee")
    write_prototypes(people, replace(vectors, least_likeness=0.01))
    other = make_identities(folder / "other.h5", [["bob"], ["ann"]], first=70)
    assert mine >= 0 and forget("Ann Lee", people, [other]).rows == {other: 1}
    assert FeatureStore(other).array("face_identity").any(1).tolist() == [True, False]


def test_shards_and_what_killed_runs_left_are_purged_as_well(folder: Path) -> None:
    shards = shard_folder(folder / "s.h5")
    shards.mkdir()
    make_identities(shards / "1.h5", [["ann", "bob"]], first=0)
    for left in (folder / ".s.h5.1.tmp", shards / ".2.h5.1.tmp", folder / "people" / ".names.csv.1.tmp"):
        shutil.copy(folder / "s.h5", left)
    assert forget("Ann Lee", folder / "people", [folder / "s.h5"]).rows == {folder / "s.h5": len(ANN) + 1}
    assert traces(folder) == [] and (shards / "1.h5").exists()


def test_another_extraction_and_a_merge_leave_it_so(folder: Path) -> None:
    rest = make_identities(folder / "rest.h5", [["bob"]], first=50)
    forget("Ann Lee", folder / "people", [folder / "s.h5"])
    merged = merge([folder / "s.h5", rest], folder / "m.h5").path
    assert traces(folder) == [] and "done" in FeatureStore(merged).status("face_identity")


def test_a_name_that_nobody_has_is_refused_with_the_nearest(folder: Path) -> None:
    with pytest.raises(UsageError, match="no person in the gallery named 'An Lee'; did you mean 'Ann Lee'"):
        forget("An Lee", folder / "people")


def test_identities_that_cannot_be_compared_are_refused_before_anything_is_changed(folder: Path) -> None:
    other = make_identities(folder / "o.h5", CAST, recipe={**RECIPE, "fingerprint": "other"})
    before = everything(folder)
    with pytest.raises(UsageError, match="made-one, that of .*o.h5, face_identity is other: other weights"):
        forget("Ann Lee", folder / "people", [folder / "s.h5", other])
    assert everything(folder) == before


def test_a_store_that_is_not_there_or_in_work_is_an_error(folder: Path) -> None:
    with pytest.raises(StoreError, match="there is no store .*none.h5; expected a file that"):
        forget("Ann Lee", folder / "people", [folder / "none.h5"])
    with locked(folder / "s.h5"), pytest.raises(StoreError, match="s.h5"):
        forget("Ann Lee", folder / "people", [folder / "s.h5"])
    assert len(traces(folder)) == len(ANN) + 1


def test_a_damaged_store_is_not_written_over(folder: Path) -> None:
    path = folder / "s.h5"
    found = path.read_bytes()
    path.write_bytes(found.replace(b"Dot", b"Dog"))
    with pytest.raises(StoreError, match="s.h5 is damaged .*pipeline verify .*--repair, then run the same command"):
        forget("Ann Lee", folder / "people", [path])
    assert path.read_bytes() == found.replace(b"Dot", b"Dog")


def test_rows_that_are_no_numbers_are_not_written_over(folder: Path) -> None:
    path = folder / "s.h5"
    with path.open("r+b") as file:
        file.seek(FeatureStore(path).place_in_file("face_identity", "values") + 512 * 4)  # Bob beside Ann
        file.write(np.array([np.nan], np.float32).tobytes())
    with pytest.raises(StoreError, match="s.h5 is damaged .values are finite; found NaN"):
        forget("Ann Lee", folder / "people", [path])


def test_rows_of_another_width_are_refused(folder: Path) -> None:
    people = folder / "people"
    known = read_prototypes(people)
    write_prototypes(people, replace(known, vectors=known.vectors[:, :8]))
    with pytest.raises(UsageError, match="have 8 numbers, those of .*face_identity 512, although both say"):
        forget("Ann Lee", people, [folder / "s.h5"])
    with pytest.raises(UsageError, match="have 8 numbers, those of .*face_identity 512, although both say"):
        match_speakers(folder / "s.h5", people)


def test_a_table_that_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "people" / CLUSTERS).write_bytes(b"clip,track,cluster\n\xff")
    with pytest.raises(UsageError, match="clusters.csv cannot be read .*not known whom it names; mend it or remove it"):
        forget("Ann Lee", folder / "people")


def test_a_file_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "people" / PAGE).unlink()
    (folder / "people" / PAGE).mkdir()
    with pytest.raises(StoreError, match="cannot write .*clusters.html: Is a directory; what was done stays done: mend"
                                         " that, then run the same command again"):
        forget("Ann Lee", folder / "people")


STEPS = ("_purge", "_clear_store", "_purge_page", "write_prototypes", "_filter")


def _die_at(step: str, folder: Path) -> None:
    def die(*_arguments: object, **_options: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(forgetting, step, die)
    forget("Ann Lee", folder / "people", [folder / "s.h5"])


@pytest.fixture(params=STEPS)
def killed(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A run that died just before a step."""
    process = multiprocessing.get_context("fork").Process(target=_die_at, args=(request.param, folder))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    yield folder


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_run_that_was_killed_is_finished_by_the_same_command(killed: Path) -> None:
    assert verify(killed / "s.h5").findings == []
    forget("Ann Lee", killed / "people", [killed / "s.h5"])
    assert traces(killed) == [] and Gallery.open(killed / "people").names == ("Bob",)


def test_the_command_says_what_was_purged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", "forget", "Nobody", "--gallery", str(folder / "people")]) == 2
    assert main(["faces", "forget", "Ann Lee", "--gallery", str(folder / "people"), "--store",
                 str(folder / "s.h5")]) == 0
    shown = capsys.readouterr()
    assert "5 embeddings" in shown.err and "1 cluster; page kept" in shown.err
    assert shown.out.strip() == str(folder / "people")
    assert main(["faces", "forget", "bob", "--gallery", str(folder / "people")]) == 0
    assert "name stores with --store" in capsys.readouterr().err
    assert (folder / "people" / PROTOTYPES).exists()
