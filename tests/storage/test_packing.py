"""Writing the feature file: whole or not at all, the same rows for any order, flat in memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence
from pipeline.storage.durable import Output, replacing
from pipeline.storage.packing import (Cell, Failure, FeatureData, SourceRecord, iter_blocks, rows_digest, stored_cells,
                                      stored_clips, stored_sources, write_store)
from pipeline.store import FeatureStore

CORPUS = Corpus("toy", (Task("mood", ("glad", "sad")), Task("level", value_range=(0.0, 1.0))), citation="Ünï")
CLIPS = [Clip(f"train/{number}", Path(f"{number}.mp4"), 0.25 * number, 9.5 if number % 2 else None, f"words {number}",
              f"s{number}", f"d{number}", number, "train", f"g{number}",
              {"mood": "sad", "level": 0.5} if number % 3 else {}) for number in range(7)]


def sequence(length: int, width: int = 4, seed: int = 0) -> FeatureSequence:
    return FeatureSequence(np.random.default_rng(seed).normal(size=(length, width)).astype(np.float32),
                           np.zeros((length, 2), np.float32))


def data(width: int = 4) -> FeatureData:
    return FeatureData("audio", (width,), {"extractor": "toy", "fingerprint": "f" * 32},
                       {clip.clip_id: sequence(1 + number, width, number) for number, clip in enumerate(CLIPS)})


def test_clips_come_back_from_a_store_as_they_went_in(tmp_path: Path) -> None:
    store = FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={}))
    assert stored_clips(store) == CLIPS


@pytest.mark.parametrize("view", [(0.0, 0.0, .5, 1.0), (.5, 0.0, 1.0, 1.0), (1 / 3, .1, .9, .7)])
def test_the_part_of_the_picture_comes_back_with_the_file(tmp_path: Path, view: tuple[float, ...]) -> None:
    clips = [Clip("all/a", Path("odd #1.avi"), view=view), Clip("all/b", Path("b.avi"))]  # type: ignore[arg-type]
    found, whole = stored_clips(FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=clips, features={})))
    assert found.source == Path("odd #1.avi") and found.view == pytest.approx(view) and whole == clips[1]


def test_a_view_that_leaves_the_picture_is_damage(tmp_path: Path) -> None:
    clips = [Clip("all/a", Path("a.avi#xywh=percent:90,0,0,100"))]
    with pytest.raises(StoreError, match="row 0 of the clip table is damaged .*a view is left, top"):
        stored_clips(FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=clips, features={})))


def test_a_clip_row_that_cannot_be_a_clip_is_damage(tmp_path: Path) -> None:
    import h5py
    write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["clips/start_seconds"][3] = -1
    store = FeatureStore(tmp_path / "a.h5")
    with pytest.raises(StoreError, match="row 3 of the clip table is damaged"):
        stored_clips(store)


def test_cells_come_back_from_a_store_with_digests_inputs_and_failures(tmp_path: Path) -> None:
    failure = Failure("decode", "passing", "disk\nfell over")
    cells = {"train/0": Cell.of(sequence(2), input="a" * 32), "train/1": Cell.of(sequence(0), input="b" * 32),
             "train/2": Cell.failed(failure, input="c" * 32)}
    store = FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS,
                                     features={"toy": FeatureData("audio", (4,), cells=cells)}))
    found = stored_cells(store, "toy")
    assert found.keys() == cells.keys()
    for clip_id, cell in cells.items():
        assert replace(found[clip_id], load=None) == replace(cell, load=None)
    load = found["train/0"].load
    assert load is not None and rows_digest(load()) == cells["train/0"].digest


def test_sources_come_back(tmp_path: Path) -> None:
    sources = {"train/3": SourceRecord(123, 1_700_000_000_123_456_789, "d" * 32)}
    store = FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={}, sources=sources))
    assert stored_sources(store) == {clip.clip_id: sources.get(clip.clip_id, SourceRecord()) for clip in CLIPS}


def test_a_path_that_is_not_utf8_comes_back(tmp_path: Path) -> None:
    clips = [Clip("a", Path("caf\udce9.mp4"), speaker="Ren\udce9e")]
    store = FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=clips, features={}))
    assert stored_clips(store) == clips


def test_a_store_without_clips_or_features_can_be_read(tmp_path: Path) -> None:
    store = FeatureStore(write_store(tmp_path / "a.h5", corpus=Corpus("none"), clips=[],
                                     features={"toy": FeatureData("audio", (4,))}))
    assert store.num_clips == 0 and store.array("toy").shape == (0, 4) and store.offsets("toy").tolist() == [0]
    assert len(store.clips) == 0 and len(store.failures) == 0 and store.digest("toy")


def test_a_recipe_larger_than_hdf5s_old_limit_is_kept(tmp_path: Path) -> None:
    recipe = {"long": "x" * 200_000}
    store = FeatureStore(write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS,
                                     features={"toy": FeatureData("audio", (4,), recipe)}))
    assert store.recipe("toy") == recipe


def test_the_digest_of_a_feature_is_the_same_for_any_order_of_clips_and_another_for_other_rows(tmp_path: Path) -> None:
    stores = [FeatureStore(write_store(tmp_path / f"{number}.h5", corpus=CORPUS, clips=clips, features={"toy": toy}))
              for number, (clips, toy) in enumerate([(CLIPS, data()), (CLIPS[::-1], data())])]
    other = replace(data(), sequences={**data().sequences, "train/0": sequence(1, seed=99)})
    third = FeatureStore(write_store(tmp_path / "3.h5", corpus=CORPUS, clips=CLIPS, features={"toy": other}))
    assert stores[0].digest("toy") == stores[1].digest("toy") != third.digest("toy")


def test_the_digest_of_rows_sees_shape_values_times_and_their_kind() -> None:
    values, times = np.arange(6, dtype=np.float32), np.zeros((6, 2), np.float32)
    digests = {rows_digest(FeatureSequence(*arguments)) for arguments in (
        (values.reshape(6, 1), times), (values.reshape(3, 2), times[:3]), (values.reshape(6, 1) + 1, times),
        (values.reshape(6, 1), times + 1), (values.reshape(6, 1), times, "proportional"),
        (np.zeros((0, 1), np.float32), times[:0]), (np.zeros((0, 2), np.float32), times[:0]))}
    assert len(digests) == 7
    turned = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(6, 2))
    assert rows_digest(FeatureSequence(turned, times)) == rows_digest(FeatureSequence(turned.copy("C"), times))


def test_blocks_hold_all_rows_in_order_and_little_at_a_time() -> None:
    loaded: list[int] = []

    def load(number: int) -> FeatureSequence:
        loaded.append(number)
        return sequence(number % 3, seed=number)

    blocks = iter_blocks(map(load, range(100)), block_bytes=400)
    first = next(blocks)
    assert len(loaded) < 30, "the rest is not loaded before it is asked for"
    found = np.concatenate([part.values for block in [first, *blocks] for part in block])
    np.testing.assert_array_equal(found, np.concatenate([sequence(n % 3, seed=n).values for n in range(100)]))
    assert list(iter_blocks([])) == [] and list(iter_blocks([sequence(0)])) == []


def test_packing_loads_each_sequence_once(tmp_path: Path) -> None:
    loads: list[str] = []

    def load(clip_id: str) -> FeatureSequence:
        loads.append(clip_id)
        return sequence(2)

    cells = {clip.clip_id: Cell("done", 2, lambda name=clip.clip_id: load(name)) for clip in CLIPS}
    write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={"toy": FeatureData("x", (4,), cells=cells)})
    assert loads == [clip.clip_id for clip in CLIPS]


@pytest.mark.parametrize(("rows", "found"), [(sequence(2, 1), r"float32 \(2, 1\)"), (sequence(2, 5), r"\(2, 5\)"), (
    FeatureSequence(np.zeros((2, 4), np.uint8), np.zeros((2, 2), np.float32)), "uint8")])
def test_rows_of_another_shape_or_type_are_a_bug_and_not_stretched(tmp_path: Path, rows: FeatureSequence,
                                                                   found: str) -> None:
    with pytest.raises(ValueError, match=rf"rows of train/0 are .*{found}.*, expected float32 \(2, 4\)"):
        write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS,
                    features={"toy": FeatureData("x", (4,), sequences={"train/0": rows})})
    assert list(tmp_path.iterdir()) == []


def test_misuse_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two clips have the same id"):
        write_store(tmp_path / "a.h5", corpus=CORPUS, clips=[CLIPS[0], CLIPS[0]], features={})
    with pytest.raises(ValueError, match="task 'mood' has no class 'angry'"):
        write_store(tmp_path / "a.h5", corpus=CORPUS, clips=[Clip("a", labels={"mood": "angry"})], features={})
    with pytest.raises(ValueError, match="found 'a/b'"):
        write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={"a/b": data()})


class Stop(Exception):
    pass


def test_a_write_that_is_interrupted_leaves_the_old_store_and_nothing_else(tmp_path: Path) -> None:
    path = write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={"toy": data()})
    before = path.read_bytes()

    def stop() -> FeatureSequence:
        raise Stop

    with pytest.raises(Stop):
        write_store(path, corpus=CORPUS, clips=CLIPS,
                    features={"toy": FeatureData("x", (4,), cells={"train/3": Cell("done", 1, stop)})})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["file.txt/a.h5", "a-folder", f"{'x' * 300}.h5"])
def test_a_place_that_cannot_be_written_is_one_store_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file.txt").write_text("in the way")
    (tmp_path / "a-folder").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match="cannot write .*; what was there before is unchanged. Check free space"):
        write_store(tmp_path / place, corpus=CORPUS, clips=CLIPS, features={"toy": data()})
    assert sorted(tmp_path.iterdir()) == before


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.storage.test_packing import CLIPS, CORPUS, data
from pipeline.errors import StoreError
from pipeline.storage.packing import write_store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_store(Path(sys.argv[1]), corpus=CORPUS, clips=CLIPS, features={{"toy": data(1000)}})
except StoreError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("limit", [0, 5_000, 60_000, 100_000])
def test_a_full_disk_is_one_store_error_and_leaves_the_old_store(tmp_path: Path, limit: int) -> None:
    path = write_store(tmp_path / "a.h5", corpus=CORPUS, clips=CLIPS, features={"toy": data()})
    before = path.read_bytes()
    script = FULL_DISK.format(root=str(Path(__file__).parents[2]), limit=limit)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "refused: cannot write" in done.stdout and "File too large" in done.stdout
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_failed_write_is_told_afterwards_and_not_to_the_writer() -> None:
    with Output(Path("/dev/full")) as output:
        assert output.write(b"lost") == 4 and output.write(b"too") == 3
        with pytest.raises(OSError, match="No space left on device"):
            output.check()


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[list[str]] = []
    monkeypatch.setattr("os.fsync", lambda handle: synced.append(sorted(path.name for path in tmp_path.iterdir())))
    with replacing(tmp_path / "a") as output:
        output.write(b"x")
    assert len(synced) == 2 and "a" not in synced[0] and synced[1] == ["a"], "first the file, then its folder"


def test_replacing_keeps_an_interrupt_back_until_the_file_is_closed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with replacing(tmp_path / "a") as output:
            output.error = KeyboardInterrupt()
            assert output.write(b"goes on") == 7
    assert list(tmp_path.iterdir()) == []


def test_replacing_makes_the_folder_and_the_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "new" / "a") as output:
        output.write(b"0123456789")
        output.seek(2)
        buffer = bytearray(3)
        assert output.readinto(buffer) == 3 and bytes(buffer) == b"234" and output.tell() == 5
        assert output.read(2) == b"56"
        output.truncate(4)
    assert (tmp_path / "new" / "a").read_bytes() == b"0123"
