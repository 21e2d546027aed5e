"""Damage anywhere in a store is seen, named and contained; repairing drops it and nothing else."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.cli import main
from pipeline.curation.repair import advice, repair
from pipeline.curation.verification import read_whole, verify
from pipeline.datasets.manifest import Manifest
from pipeline.errors import PipelineError, StoreError
from pipeline.extraction import ExtractConfig, extract
from pipeline.media import FeatureSequence
from pipeline.storage.lock import locked
from pipeline.storage.packing import Cell, Failure, FeatureData, rows_digest, write_store
from pipeline.storage.shards import pack
from pipeline.store import FeatureStore
from tests.makers import make_bert, make_video, write_manifest
from tests.storage.test_packing import CLIPS, CORPUS

IDS = [clip.clip_id for clip in CLIPS]
EMPTY, FAILED, MISSING = 2, 4, 5  # places of clips without rows of the feature "wide"


def rows(place: int, *, dtype: str = "float32") -> FeatureSequence:
    length, random = 3 + place, np.random.default_rng(place)
    if dtype == "uint8":
        return FeatureSequence(random.integers(0, 255, (length, 2, 2), np.uint8),
                               np.full((length, 2), np.nan, np.float32), "none")
    times = np.stack([np.arange(length), np.arange(1, length + 1)], 1).astype(np.float32)
    return FeatureSequence(random.normal(size=(length, 5)).astype(np.float32), times)


def cell(place: int) -> Cell:
    given = f"{place:032x}"
    if place == FAILED:
        return Cell.failed(Failure("decode", "permanent", "no moov atom ‘found’"), input=given)
    return Cell.of(FeatureSequence.empty((5,)) if place == EMPTY else rows(place), input=given)


def make_features(places: range | list[int]) -> dict[str, FeatureData]:
    return {"wide": FeatureData("audio", (5,), {"extractor": "wide", "fingerprint": "f" * 32},
                                cells={IDS[place]: cell(place) for place in places if place != MISSING}),
            "pixels": FeatureData("face", (2, 2), {"extractor": "pixels"}, dtype="uint8", is_input=False,
                                  sequences={IDS[place]: rows(place, dtype="uint8") for place in places})}


@pytest.fixture()
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "toy.h5", corpus=CORPUS, clips=CLIPS, features=make_features(range(7)))


def place_of(path: Path, name: str) -> tuple[int, int, int]:
    """Where a dataset lies: first byte, bytes of a row, rows."""
    with h5py.File(path, locking=False) as file:
        found = file[name]
        return found.id.get_offset(), found.dtype.itemsize * int(np.prod(found.shape[1:])), len(found)


def flip(path: Path, name: str, row: int, byte: int = 0, mask: int = 0x41) -> None:
    """Change one byte of one row of a dataset."""
    start, size, _ = place_of(path, name)
    with path.open("r+b") as file:
        file.seek(start + row * size + byte % size)
        old = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([old ^ mask]))


def named(path: Path) -> set[tuple[str, str, int]]:
    return {(finding.kind, finding.feature, finding.place) for finding in verify(path).findings}


def test_a_store_that_nothing_happened_to_is_whole(store: Path) -> None:
    found = verify(store)
    assert found.findings == [] and found.notes == []
    assert found.num_bytes == sum(FeatureStore(store).array(name).nbytes + FeatureStore(store).times(name).nbytes
                                  for name in ("wide", "pixels"))


OWNERS: dict[str, Callable[[int], set[tuple[str, str, int]]]] = {
    **{f"features/{name}/{part}": lambda row, name=name: {("cell", name, row)}  # type: ignore[misc]
       for name in ("wide", "pixels") for part in ("status", "times_kind", "digest", "input", "crc32")},
    **{f"features/{name}/offsets": lambda row, name=name: {  # type: ignore[misc]
        ("cell", name, place) for place in (row - 1, row) if 0 <= place < 7} for name in ("wide", "pixels")},
    **{f"clips/{column}": lambda row: {("clip", "", row)} for column in (
        "clip_id", "split", "group", "speaker", "dialogue", "turn", "start_seconds", "stop_seconds", "source_size",
        "source_mtime_ns", "source_digest", "labels/mood", "labels/level", "crc32")},
    **{f"clips/{column}_offsets": lambda row: {("clip", "", place) for place in (row - 1, row) if 0 <= place < 7}
       for column in ("text", "source")},
    **{f"failures/{column}": lambda row: {("cell", "wide", FAILED)} for column in (
        "clip_id", "feature", "stage", "kind", "message", "message_offsets", "crc32")},
}


@pytest.mark.parametrize("name", OWNERS)
def test_a_flipped_byte_in_a_table_is_found_and_its_clip_named(store: Path, name: str) -> None:
    random = np.random.default_rng(list(OWNERS).index(name))
    _, size, length = place_of(store, name)
    whole = store.read_bytes()
    for _ in range(6):
        row, byte, mask = (int(random.integers(limit)) for limit in (length, size, 255))
        store.write_bytes(whole)
        flip(store, name, row, byte, mask + 1)
        assert named(store) == OWNERS[name](row), (row, byte, mask)


@pytest.mark.parametrize(("name", "column"), [("wide", "values"), ("wide", "times"), ("pixels", "values"),
                                              ("pixels", "times")])
def test_a_flipped_byte_in_rows_or_times_is_found_and_its_clip_named(store: Path, name: str, column: str) -> None:
    random, whole = np.random.default_rng(0), store.read_bytes()
    offsets = FeatureStore(store).offsets(name)
    for row in random.integers(0, offsets[-1], 12).tolist():
        store.write_bytes(whole)
        flip(store, f"features/{name}/{column}", row, int(random.integers(100)), int(random.integers(1, 256)))
        assert named(store) == {("cell", name, int(np.searchsorted(offsets, row, side="right")) - 1)}


@pytest.mark.parametrize("column", ["text", "source"])
def test_a_flipped_byte_in_words_or_paths_is_found_and_its_clip_named(store: Path, column: str) -> None:
    for place in (0, 3, 6):
        texts = FeatureStore(store).column(column)
        before = sum(len(text.encode()) for text in texts[:place])
        flip(store, f"clips/{column}", before + 2)
        assert ("clip", "", place) in named(store)
    assert named(store) == {("clip", "", place) for place in (0, 3, 6)}


def everything(path: Path) -> str:
    """All that a reader can see of a store."""
    store = FeatureStore(path)
    return repr([store.attributes, store.corpus, store.clips.to_dict("list"), store.failures.to_dict("list"),
                 [store.labels(task.name).tolist() for task in store.corpus.tasks],
                 [(store.head(name), store.array(name).tobytes(), store.times(name).tobytes(),
                   store.offsets(name).tolist(), store.status(name).tolist(), store.times_kinds(name).tolist(),
                   store.cell_digests(name).tolist(), store.input_digests(name).tolist()) for name in store.features]])


def test_no_flipped_byte_anywhere_changes_what_is_read_without_being_found(store: Path) -> None:
    whole, before = store.read_bytes(), everything(store)
    random = np.random.default_rng(0)
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    outcomes = {"found": 0, "harmless": 0}
    for byte in random.choice(used, 150, replace=False).tolist():
        store.write_bytes(whole[:byte] + bytes([whole[byte] ^ 0x41]) + whole[byte + 1:])
        if verify(store).findings:
            outcomes["found"] += 1
        else:
            assert everything(store) == before, byte
            outcomes["harmless"] += 1
    assert outcomes["found"] > 100


def test_rows_that_were_made_with_nan_or_with_strange_times_are_named_and_are_no_damage(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={"wide": FeatureData(
        "audio", (5,), sequences={clip_id: rows(place) for place, clip_id in enumerate(IDS)})})
    for place, name, value in ((1, "values", np.nan), (3, "times", -1)):
        with h5py.File(path, "r+") as file:
            start, stop = file["features/wide/offsets"][place:place + 2]
            file[f"features/wide/{name}"][start] = value
            made = FeatureSequence(np.zeros((1, 5), np.float32), np.zeros((1, 2), np.float32))
            object.__setattr__(made, "values", file["features/wide/values"][start:stop])
            object.__setattr__(made, "times", file["features/wide/times"][start:stop])
            file["features/wide/digest"][place] = rows_digest(made).encode()
    with h5py.File(path, "r+") as file:
        del file["features/wide/crc32"]
    assert [(finding.place, finding.message) for finding in verify(path).findings] == [
        (1, "1 of 4 rows hold NaN or infinity, as they were made"),
        (3, "1 of 6 rows have times that are not finite, start before 0 or stop before they start, as they were made")]


def test_a_store_of_an_older_version_is_verified_as_far_as_it_can_be(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        for group in ("clips", "failures", "features/wide", "features/pixels"):
            del file[group]["crc32"]
        file["clips/labels/mood"][3] = 7
        file["clips/clip_id"][6] = file["clips/clip_id"][1]
        file["clips/start_seconds"][1] = -1
        file["features/wide/status"][0] = 3
        file["features/pixels/values"][0] = 0
    found = verify(store)
    assert found.notes == [f"{store} has no check values of its tables (made by an older version): only rows could be"
                           " checked"]
    assert {(finding.place, finding.feature, finding.message) for finding in found.findings} == {
        (1, "", "its span -1–9.5 s is empty or starts before 0"), (3, "", "its mood is class 7 of 2"),
        (6, "", "its id is that of an earlier clip"),
        (0, "wide", "there are rows, but its status says that there are none"),
        (0, "pixels", "rows or times differ from their digest")}


def test_rows_behind_the_last_clip_are_found(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        for name in ("values", "times"):
            rows_there = file[f"features/wide/{name}"][()]
            del file[f"features/wide/{name}"]
            file[f"features/wide/{name}"] = np.concatenate([rows_there, rows_there[:1]])
    assert named(store) == {("cell", "wide", 6)}
    repair(store)
    assert FeatureStore(store).offsets("wide")[-1] == len(FeatureStore(store).array("wide")) == 3 + 4 + 6


def test_a_label_outside_its_range_is_the_annotation_s_fault_and_stays(tmp_path: Path) -> None:
    clips = [dataclasses.replace(CLIPS[0], labels={"level": 1.5}), *CLIPS[1:]]
    path = write_store(tmp_path / "a.h5", corpus=CORPUS, clips=clips, features=make_features(range(7)))
    before = path.read_bytes()
    assert [(finding.kind, finding.clip) for finding in verify(path).findings] == [("label", IDS[0])]
    repaired = repair(path)
    assert [finding.clip for finding in repaired.left] == [IDS[0]] and repaired.command == ""
    assert path.read_bytes() == before


def break_header(path: Path, name: str) -> None:
    """Damage what HDF5 itself keeps of a group."""
    with h5py.File(path, locking=False) as file:
        address = h5py.h5o.get_info(file[name].id).addr
    with path.open("r+b") as file:
        file.seek(address + 20)
        file.write(b"damage!")


def test_a_feature_that_cannot_be_read_is_named_and_the_other_one_saved(store: Path) -> None:
    digest = FeatureStore(store).digest("pixels")
    break_header(store, "features/wide")
    found = verify(store).findings
    assert [(finding.kind, finding.feature) for finding in found if finding.feature] == [("feature", "wide")]
    repaired = repair(store)
    assert repaired.left == () and "--extractors wide" in repaired.command
    assert verify(store).findings == []
    assert FeatureStore(store).features == ("pixels",) and FeatureStore(store).digest("pixels") == digest


@pytest.mark.parametrize("name", ["clips", "clips/text", "/"])
def test_a_store_whose_clip_table_cannot_be_read_is_left_alone_with_advice(store: Path, name: str) -> None:
    break_header(store, name)
    before = store.read_bytes()
    found = verify(store)
    assert [finding.kind for finding in found.findings] == ["file"] and str(store) in found.findings[0].message
    assert repair(store).left == tuple(found.findings) and store.read_bytes() == before


def test_neither_store_nor_shard_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store .*none.h5 and no shard beside it; make one with"):
        verify(tmp_path / "none.h5")


def test_a_store_in_use_is_not_repaired(store: Path) -> None:
    with locked(store), pytest.raises(StoreError, match="is being written by"):
        repair(store)


def test_a_damaged_store_is_not_taken_further(store: Path) -> None:
    flip(store, "clips/labels/mood", 3)
    with pytest.raises(StoreError, match=r"is damaged .train/3: row 3 of the clip table has changed.*findings: 1.;"
                                         " see all: python -m pipeline verify"):
        read_whole(store)
    (store.parent / "toy.h5.shards").mkdir()
    shutil.copy(store, store.parent / "toy.h5.shards" / "1.h5")
    with pytest.raises(StoreError, match="has 1 finished shards beside it that are not packed; join them first"):
        read_whole(store)


def scatter_damage(path: Path, random: np.random.Generator) -> None:
    """Flip bytes of each kind of thing in a file."""
    for name in ("features/wide/values", "features/wide/times", "features/wide/digest", "features/pixels/offsets",
                 "features/wide/status", "features/wide/input", "clips/labels/mood", "clips/clip_id"):
        _, size, length = place_of(path, name)
        flip(path, name, int(random.integers(length)), int(random.integers(size)), int(random.integers(1, 256)))


@pytest.mark.parametrize("seed", range(5))
def test_what_repair_drops_can_be_filled_in_again_to_the_same_digests(store: Path, seed: int) -> None:
    expected = {name: FeatureStore(store).digest(name) for name in ("wide", "pixels")}
    random = np.random.default_rng(seed)
    scatter_damage(store, random)
    shards = store.with_name("toy.h5.shards")
    shard = write_store(shards / "1.h5", corpus=CORPUS, clips=CLIPS[2:5], features=make_features([2, 3, 4]))
    scatter_damage(shard, random)
    (shards / "2.h5").write_bytes(b"\x89HDF\r\n\x1a\nno more")
    before = verify(store)
    repaired = repair(store)
    assert repaired.before.findings == before.findings and repaired.left == ()
    assert repaired.removed == (shards / "2.h5",) and not (shards / "2.h5").exists()
    assert verify(store).findings == [] and "--extractors pixels,wide" in repaired.command
    untouched = [place for place in range(7) if place not in {finding.place for finding in before.findings}]
    for name in expected:
        for place in untouched:
            if (name, place) != ("wide", MISSING):
                assert FeatureStore(store).read(IDS[place], name).values.shape[0] == (
                    0 if name == "wide" and place in (EMPTY, FAILED) else 3 + place)
    write_store(shards / "9.h5", corpus=CORPUS, clips=CLIPS, features=make_features(range(7)))
    pack(store, shards, CORPUS, CLIPS)
    assert {name: FeatureStore(store).digest(name) for name in expected} == expected
    assert verify(store).findings == []


def test_shards_without_a_packed_file_are_verified_and_repaired(store: Path) -> None:
    shards = store.with_name("toy.h5.shards")
    shards.mkdir()
    shard = store.rename(shards / "1.h5")
    assert verify(store).findings == []
    flip(shard, "features/wide/values", 0)
    assert [(finding.file, finding.clip) for finding in verify(store).findings] == [(shard, IDS[0])]
    assert repair(store).left == () and not store.exists() and verify(store).findings == []


def test_damage_in_a_real_store_and_shard_is_repaired_by_the_next_extraction(tmp_path: Path) -> None:
    make_bert(tmp_path / "bert")
    for number in range(4):
        make_video(tmp_path / f"clip{number}.mp4", seconds=0.5, tone_hz=200.0 + 50 * number)
    manifest = write_manifest(tmp_path / "clips.csv", [
        {"path": f"clip{number}.mp4", "text": "oh no " * number, "split": "train", "mood": "ab"[number % 2]}
        for number in range(4)])
    out = tmp_path / "store.h5"

    def run(*, no_pack: bool = False) -> int:
        return extract(Manifest(Manifest.Config(manifest=manifest)), out, extractors=("text_bert", "audio_logmel"),
                       settings={"text_bert": {"model": str(tmp_path / "bert")}},
                       config=ExtractConfig(jobs=1, no_pack=no_pack)).num_done

    run()
    expected = {name: FeatureStore(out).digest(name) for name in FeatureStore(out).features}
    flip(out, "features/audio_logmel/values", 3)
    flip(out, "features/text_bert/digest", 2)
    assert repair(out).left == ()
    assert run() == 2 and verify(out).findings == []
    assert {name: FeatureStore(out).digest(name) for name in expected} == expected
    out.unlink()
    run(no_pack=True)
    shard = next(iter(sorted((tmp_path / "store.h5.shards").glob("*.h5"))))
    flip(shard, "features/audio_logmel/times", 0)
    flip(shard, "features/audio_logmel/status", 0, mask=3)
    assert {finding.feature for finding in repair(out).dropped} == {"audio_logmel"}
    assert run() == 1 and verify(out).findings == []
    assert {name: FeatureStore(out).digest(name) for name in expected} == expected


def test_the_command_says_what_is_wrong_and_ends_with_0_only_when_nothing_is(
        store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(store)]) == 0
    assert capsys.readouterr().out == f"{store} is whole (clips: 7, features: 2, rows read: 0.0 MB)\n"
    flip(store, "features/wide/values", 4)
    assert main(["verify", str(store)]) == 1
    said = capsys.readouterr()
    assert "is not whole: findings: 1, clips concerned: 1" in said.out and "--repair" in said.out
    assert "train/1" in said.err and "rows or times differ from their digest" in said.err
    assert main(["verify", str(store), "--json", "--jobs", "1"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["whole"] and found["findings"] == [
        {"file": str(store), "kind": "cell", "clip": "train/1", "feature": "wide",
         "message": "rows or times differ from their digest"}]
    assert found["files"][0]["clips"] == 7 and found["files"][0]["cells"]["wide"] == {
        "missing": 1, "done": 4, "empty": 1, "failed": 1}
    assert main(["verify", str(store), "--repair", "--json"]) == 0
    repaired = json.loads(capsys.readouterr().out)
    assert repaired["left"] == [] and repaired["dropped"] == found["findings"]
    assert repaired["next"] == f"python -m pipeline extract --dataset toy --extractors wide --out {store}"
    assert main(["verify", str(store), "--repair"]) == 0
    assert "is whole" in capsys.readouterr().out


def test_a_damaged_id_cannot_write_to_the_terminal(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flip(store, "clips/clip_id", 3, 1, ord("r") ^ 0x1B)
    assert main(["verify", str(store)]) == 1
    said = capsys.readouterr()
    assert "\x1b" not in said.err and r"t\x1bain/3" in said.err


def test_a_file_of_another_version_is_never_removed(store: Path) -> None:
    with h5py.File(store, "r+") as file:
        file.attrs["format_version"] = 99
    shards = store.with_name("toy.h5.shards")
    shards.mkdir()
    shard = store.rename(shards / "1.h5")
    repaired = repair(store)
    assert shard.exists() and repaired.removed == () and "update this program" in repaired.left[0].message
    assert f"remove {shard} if it is not yours" in advice(repaired)[0]


def test_a_hostile_file_is_a_finding_or_an_error_and_never_more(store: Path, tmp_path: Path) -> None:
    with h5py.File(store, "r+") as file:
        del file["features/wide"]
        file["features/wide"] = h5py.ExternalLink("/etc/hostname", "/x")
        del file["features/pixels/crc32"]
        file["features/pixels/crc32"] = np.zeros(3)
    assert {finding.feature for finding in verify(store).findings} >= {"wide", "pixels"}
    (tmp_path / "x.h5").write_text("no store")
    with pytest.raises(PipelineError):
        read_whole(tmp_path / "x.h5")
